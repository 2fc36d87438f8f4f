"""Values for the tests of the store: any event or noun, and short stories of jobs."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing

from hypothesis import strategies as st

from afield.model import event as ev
from afield.model.attempt import Exited, Outcome, Placement
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task

TEXT = st.one_of(st.text(max_size=12), st.binary(max_size=12).map(lambda b: b.decode("utf-8", "surrogateescape")))
PLAIN = {
    str: TEXT,
    int: st.integers(1, 1000),
    float: st.one_of(st.floats(0.001, 1e15), st.just(float("inf"))),
    bool: st.booleans(),
    type(None): st.none(),
}


def any_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Any value of a type of the model."""
    if isinstance(hint, typing.NewType):
        return any_of(hint.__supertype__)
    if hint in PLAIN:
        return PLAIN[hint]
    if typing.get_origin(hint) is tuple:
        inner, *more = typing.get_args(hint)
        if more == [Ellipsis]:
            # A request with no process is refused.
            return st.lists(any_of(inner), min_size=inner.__name__ == "ProcessGroup", max_size=3).map(tuple)
        return st.tuples(*map(any_of, (inner, *more)))
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return st.one_of(*map(any_of, typing.get_args(hint)))
    if issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    hints = typing.get_type_hints(hint)
    names = [f.name for f in dataclasses.fields(hint)] if dataclasses.is_dataclass(hint) else list(hints)
    return st.deferred(lambda: st.builds(hint, **{name: any_of(hints[name]) for name in names}))


def submitted(number: int, *, key: str = "", user: str = "ann", argv: tuple[str, ...] = ("true",)) -> ev.JobSubmitted:
    """A job is accepted."""
    task = Task(argv=argv)
    body = f"body of {number}"
    return ev.JobSubmitted(
        JobNumber(number), key or f"key-{number}", body, f"job-{number}", user, task, Request(), Policy.PASS
    )


def attempt(number: int, which: int = 1) -> AttemptId:
    """The name of an attempt."""
    return AttemptId(JobNumber(number), which)


def placed(number: int, which: int = 1, node: str = "box1") -> ev.AttemptPlaced:
    """An attempt is placed, one process on one node."""
    return ev.AttemptPlaced(attempt(number, which), Nonce("f" * 32), (Placement(0, 0, 0, NodeName(node)),))


def ended(number: int, which: int = 1, code: int = 0) -> list[ev.Event]:
    """A placed attempt runs and ends, and the job with it."""
    id, outcome = attempt(number, which), Outcome.FAILED if code else Outcome.SUCCEEDED
    return [
        ev.AttemptStarted(id, "seen"),
        ev.AttemptExited(id, (Exited(0, code),)),
        ev.JobDecided(JobNumber(number), outcome),
    ]


def whole(number: int) -> list[ev.Event]:
    """All of a job's life."""
    return [submitted(number), placed(number), *ended(number), ev.AttemptAcked(attempt(number))]
