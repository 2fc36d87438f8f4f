"""The checkers find what they are there for: a history that is right is shown to each, then one that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from afield.model.attempt import Attempt, Exited, Outcome, Placement, State
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import Goal, Job
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task
from afield.testing.ledger import Asked, Blow, Held, History, Run, differs, faults

N = JobNumber(1)


def attempt(number: int = 1, outcome: Outcome | None = Outcome.SUCCEEDED, **more: Any) -> Attempt:
    base = Attempt(AttemptId(N, number), Nonce("n"), (Placement(0, 0, 0, NodeName("a")),), placed_at=10.0 * number)
    ended = {"state": State.ENDED, "outcome": outcome, "exits": (Exited(0, code=0),), "acked": True}
    return replace(base, **{**ended, "ended_at": 10.0 * number + 5, **more})


def job(*attempts: Attempt, **more: Any) -> Job:
    base = Job(N, "k", "", "ann", Task(("x",)), Request(), Policy.PASS, 0.0, attempts=attempts)
    return replace(base, **{"decided": attempts[-1].outcome if attempts else Outcome.STOPPED, **more})


def run(number: int = 1, **more: Any) -> Run:
    base = Run(1, number, 0, "a", began=10.0 * number + 1, ended=10.0 * number + 4, code=0, wrote={"out": b"hello"})
    return replace(base, **more)


OUTPUT = {(1, n, 0, "out"): Held(b"hello") for n in (1, 2)}
RIGHT = History([job(attempt())], [run()], asked=[Asked("k", 1)], output=OUTPUT)


def test_a_right_history_has_no_fault() -> None:
    assert faults(RIGHT) == []


GAP = {"at": 0, "from": 0, "to": 2, "why": "missing"}
LOST = attempt(outcome=Outcome.LOST, exits=(), detail="both watchers were killed")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jobs": [job(attempt(), decided=None)]}, "has no end"),
        ({"jobs": [job(attempt(state=State.RUNNING, outcome=None), decided=Outcome.LOST)]}, "is running although"),
        ({"runs": [run(), run(began=12.0)]}, "more than once"),
        ({"runs": [run(code=3)]}, "in truth 3"),
        ({"runs": [run(ended=16.0)]}, "ran until 16.0"),
        ({"runs": [run(), run(kind="daemon", ended=None)]}, "ran until None"),
        ({"runs": []}, "never ran"),
        ({"runs": [run(), run(2)]}, "is not known"),
        ({"jobs": [job(attempt(outcome=Outcome.NEVER_STARTED), attempt(2))], "runs": [run(), run(2)]}, "programs ran"),
        ({"jobs": [job(LOST)]}, "all that was done"),
        ({"jobs": [job(LOST)], "blows": [Blow(12.0, "a", "keeper")]}, "all that was done"),
        ({"jobs": [job(attempt(outcome=Outcome.STOPPED))]}, "nobody asked"),
        ({"jobs": [job(attempt()), replace(job(attempt()), number=JobNumber(2))]}, "made jobs [1, 2]"),
        ({"asked": [Asked("k", 2)]}, "was answered with job 2"),
        ({"jobs": [job(replace(LOST, exits=(Exited(0, code=0),)))]}, "all its exits are known"),
        ({"jobs": [job(replace(LOST, detail="a: reboot"))]}, "no node of it was rebooted"),
        ({"jobs": [job(LOST)], "blows": [Blow(12.0, "a", "reboot")]}, "nobody was killed there"),
        ({"runs": [run(code=None, signal=15)]}, "nobody had a reason to send"),
        ({"output": {(1, 1, 0, "out"): Held(b"llo", (GAP,))}}, "nothing explains the gaps"),
        ({"output": {}}, "5 bytes were written"),
        ({"output": {(1, 1, 0, "out"): Held(b"hellohello")}}, "other bytes"),
    ],
)
def test_each_fault_is_found(changes: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults(replace(RIGHT, **changes))), faults(replace(RIGHT, **changes))


def test_attempts_that_overlap() -> None:
    two = job(attempt(outcome=Outcome.LOST, exits=()), attempt(2), policy=Policy.RERUN)
    blows = [Blow(12.0, "a", "keeper"), Blow(12.0, "a", "shepherd", "1.1")]
    good = History([two], [run(), run(2)], blows, output=OUTPUT)
    assert faults(good) == []
    assert any("attempt 2 from" in f for f in faults(replace(good, runs=[run(ended=21.5), run(2)])))


def test_a_stop_that_was_asked_for_is_none_of_them() -> None:
    stopped = job(attempt(outcome=Outcome.STOPPED), goal=Goal.STOP)
    assert faults(replace(RIGHT, jobs=[stopped])) == []


def test_output_with_marked_gaps() -> None:
    gap = {"at": 2, "from": 2, "to": 4, "why": "missing"}
    assert differs(b"hello", Held(b"heo", (gap,))) == ""
    assert "other bytes" in differs(b"hello", Held(b"hex", (gap,)))
    assert differs(b"hello", Held(b"hel"), cut=True) == ""
    assert "5 bytes were written, 3 are here" in differs(b"hello", Held(b"hel"))
