"""The invariants: a world that contradicts itself is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from afield.model import event as ev
from afield.model.attempt import Outcome, Placement
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.policy import Next, Policy, after
from afield.model.world import InvariantBroken
from tests.unit.plan.worlds import Story


def place(job: int, node: str, *devices: str, rank: int = 0) -> ev.AttemptPlaced:
    placement = Placement(rank, 0, 0, NodeName(node), devices)
    return ev.AttemptPlaced(AttemptId(JobNumber(job), 1), Nonce("x"), (placement,))


def world() -> Story:
    told = Story()
    told.node("box1", "a", "a")
    told.node("pod-0", slice="pod")
    told.node("pod-1", slice="pod")
    told.submit("[a]")
    told.submit("[a]")
    return told


def test_a_device_has_one_owner() -> None:
    told = world()
    told.tell(place(1, "box1", "a#0"), place(2, "box1", "a#1"))
    told = world()
    told.tell(place(1, "box1", "a#0"))
    with pytest.raises(InvariantBroken, match="granted to jobs 1 and 2"):
        told.tell(place(2, "box1", "a#0"))


def test_a_slice_has_one_holder() -> None:
    told = world()
    told.tell(place(1, "pod-0"))
    with pytest.raises(InvariantBroken, match="slice pod held by jobs 1 and 2"):
        told.tell(place(2, "pod-1"))


def test_ranks_are_flat() -> None:
    with pytest.raises(InvariantBroken, match="ranks"):
        world().tell(place(1, "box1", rank=1))


def test_a_device_is_granted_once_in_an_attempt() -> None:
    with pytest.raises(InvariantBroken, match="twice"):
        world().tell(place(1, "box1", "a#0", "a#0"))


def test_attempts_are_numbered_without_gaps_and_one_is_live() -> None:
    told = world()
    told.tell(place(1, "box1", "a#0"))
    job = told.job(1)
    first = job.attempts[0]
    told.world.jobs[job.number] = replace(job, attempts=(replace(first, id=AttemptId(job.number, 2)),))
    with pytest.raises(InvariantBroken, match="gaps"):
        told.world.check()
    second = replace(first, id=AttemptId(job.number, 2))
    told.world.jobs[job.number] = replace(job, attempts=(first, second))
    with pytest.raises(InvariantBroken, match="two live"):
        told.world.check()


def test_an_outcome_belongs_to_an_end() -> None:
    told = world()
    told.tell(place(1, "box1", "a#0"))
    job = told.job(1)
    told.world.jobs[job.number] = replace(job, decided=Outcome.SUCCEEDED)
    with pytest.raises(InvariantBroken, match="live attempt"):
        told.world.check()
    told.world.jobs[job.number] = replace(job, attempts=(replace(job.attempts[0], outcome=Outcome.FAILED),))
    with pytest.raises(InvariantBroken, match="outcome"):
        told.world.check()


@pytest.mark.parametrize(
    ("policy", "preempted", "lost"),
    [
        (Policy.PASS, Next.END, Next.END),
        (Policy.RESUME, Next.END, Next.RESUME),
        (Policy.PRE, Next.REAPPLY_RESUME, Next.RESUME),
        (Policy.REAPPLY, Next.REAPPLY_RESUME, Next.REAPPLY_RESUME),
        (Policy.RERUN, Next.REAPPLY_START_OVER, Next.START_OVER),
    ],
)
def test_policies(policy: Policy, preempted: Next, lost: Next) -> None:
    assert after(policy, Outcome.PREEMPTED) is preempted
    assert after(policy, Outcome.LOST) is lost
    assert after(policy, Outcome.NEVER_STARTED) is Next.START_OVER
    for outcome in (Outcome.FAILED, Outcome.STOPPED, Outcome.TIMED_OUT, Outcome.SUCCEEDED, Outcome.SETUP_FAILED):
        assert after(policy, outcome) is Next.END


def test_identities_are_read_back() -> None:
    name = AttemptId(JobNumber(12), 3)
    assert AttemptId.parse(str(name)) == name
    with pytest.raises(ValueError, match="invalid literal"):
        AttemptId.parse("12")
