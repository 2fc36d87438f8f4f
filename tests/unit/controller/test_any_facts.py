"""Whatever run folders say, what follows can be recorded: an event that the table refuses leaves a job with no end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from afield.controller.settle import assess, concluded
from afield.model.attempt import Attempt, State, Why
from afield.model.job import Job
from afield.model.policy import Policy
from afield.model.request import parse
from afield.model.task import End, Task
from afield.runner import verdict
from tests.unit.controller.test_settle import A, B, attempt, facts, final, process

MARKED = process()
LIVING = process(alive=True)
UNOPENED = MARKED | {"exit": {"code": None, "signal": None, "by": "gate", "after_signal": False}}
PROCESSES = (None, MARKED, LIVING, process(code=0), process(code=3), process(signal=9), UNOPENED)
SEALS = (None, *({"reason": "why", "by": by} for by in ("controller", "keeper", "sync")))
FINALS = (None, final(), final(by_us=True, why="user"), final(by_us=True, why="failure"))
STATES = [
    (State.PREPARING, None, None),
    (State.RUNNING, None, 1.0),
    *((State.STOPPING, why, started) for why in (Why.USER, Why.FAILURE, Why.END_FIRST) for started in (None, 1.0)),
]


def folders(rank: int, one: Attempt, locks: Sequence[str] = ("none", "held", "free")) -> Iterator[dict[str, Any]]:
    """All that a node can say of its part; that a stage failed, only before all parts were seen to start."""
    ends = ((None, None), *((seal, None) for seal in SEALS[1:]), *((None, end) for end in FINALS[1:]))
    for program, lock, (seal, end) in itertools.product(PROCESSES, locks, ends):
        processes = {} if program is None else {str(rank): program}
        yield facts(processes=processes, lock=lock, sealed=seal, final=end)
    if one.started_at is None:
        yield facts(lock="free", final=final(stage="setup"))


def job(one: Attempt) -> Job:
    task, request = Task(argv=("train",)), parse("[cpu=1]")
    number = one.id.job
    return Job(number, "", "", "me", task, request, Policy.RERUN, submitted_at=0.0, attempts=(one,))


def follows(one: Attempt, end: End, known: dict[Any, dict[str, Any]]) -> None:
    """What was seen is concluded without an IllegalMove, and is an end where nobody changes a folder any more."""
    events = concluded(job(one), assess(one, end, known).events)
    words = {verdict.verdict(found) for found in known.values()}
    assert not words <= set(verdict.CLOSED) or events, f"{one.state}: no end follows from {known}"


@pytest.mark.parametrize(("state", "why", "started"), STATES)
@pytest.mark.parametrize("end", End)
def test_what_one_node_says_can_be_recorded(state: State, why: Why | None, started: float | None, end: End) -> None:
    one = replace(attempt(A, state=state, why=why), started_at=started)
    for found in folders(0, one):
        follows(one, end, {A: found})


@pytest.mark.parametrize(("state", "why", "started"), STATES)
def test_what_two_nodes_say_can_be_recorded(state: State, why: Why | None, started: float | None) -> None:
    one = replace(attempt(A, B, state=state, why=why), started_at=started)
    for first, second in itertools.product(folders(0, one), folders(1, one, ["free"])):
        follows(one, End.ALL, {A: first, B: second})
