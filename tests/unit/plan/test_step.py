"""What is to be done now, from the world and the time alone."""

from __future__ import annotations

from afield.model import event as ev
from afield.model.action import Ack, Acquire, Action, Decide, Hold, Launch, OrderStop, Place, Release, Stop, Wake
from afield.model.attempt import Outcome, Why
from afield.model.ids import AttemptId, JobNumber, NodeName
from afield.model.node import Health
from afield.model.policy import Policy
from afield.model.request import parse
from afield.plan.step import step
from tests.unit.plan.worlds import Story

ONE = AttemptId(JobNumber(1), 1)


def box(request: str = "[]", policy: Policy = Policy.PASS) -> Story:
    told = Story()
    told.node("box1", "a", "a")
    told.submit(request, policy=policy)
    return told


def plan(told: Story) -> list[Action]:
    return step(told.world, told.now)


def test_a_life() -> None:
    told = box("[a]")
    (first,) = told.step()
    assert isinstance(first, Place)
    assert (first.attempt, first.placements[0].devices) == (ONE, ("a#0",))
    assert plan(told) == [Launch(ONE)]
    told.tell(ev.PrepareStarted(ONE))
    assert plan(told) == [Launch(ONE)], "a launch that was cut off is asked for again"
    told.tell(ev.AttemptStarted(ONE))
    assert plan(told) == []
    told.exit(1)
    assert told.step() == [Ack(ONE), Decide(JobNumber(1), Outcome.SUCCEEDED)]
    assert plan(told) == [Ack(ONE)]
    told.tell(ev.AttemptAcked(ONE))
    assert plan(told) == []


def test_a_plan_changes_nothing_and_is_always_the_same() -> None:
    told = box()
    assert plan(told) == plan(told)


def test_a_stop_is_recorded_then_carried_until_the_end() -> None:
    told = box()
    told.start(1)
    told.stop(1)
    assert told.step() == [OrderStop(ONE, Why.USER)]
    assert plan(told) == [Stop(ONE)]
    told.exit(1, 0, by_us=True)
    assert Decide(JobNumber(1), Outcome.STOPPED) in plan(told)


def test_a_stop_before_the_first_attempt_ends_the_job() -> None:
    told = box()
    told.stop(1)
    assert plan(told) == [Decide(JobNumber(1), Outcome.STOPPED)]


def test_a_stop_ends_a_held_job_and_one_that_backs_off() -> None:
    for until in (None, 9e9):
        told = box()
        told.tell(ev.JobHeld(JobNumber(1), "look", until))
        told.stop(1)
        assert plan(told) == [Decide(JobNumber(1), Outcome.STOPPED)]


def test_a_program_that_ended_by_itself_keeps_its_outcome_although_a_stop_was_wished() -> None:
    told = box()
    told.start(1)
    told.exit(1, 4)
    told.stop(1)
    assert Decide(JobNumber(1), Outcome.FAILED) in plan(told)


def test_a_reason_to_stop_that_was_first_stands() -> None:
    told = box()
    told.start(1)
    told.tell(ev.StopOrdered(ONE, Why.TIME_LIMIT))
    told.stop(1)
    assert plan(told) == [Stop(ONE)]


def test_a_loss_is_held_back_then_placed_again() -> None:
    told = box("[2:a]", Policy.RESUME)
    told.start(1)
    told.now += 100
    told.lose(1)
    actions = told.step()
    hold = next(a for a in actions if isinstance(a, Hold))
    assert hold.until is not None
    assert hold.until > told.now
    assert actions == [Ack(ONE), hold, Wake(hold.until)]
    assert plan(told) == [Ack(ONE), Wake(hold.until)], "the time is recorded once"
    told.now = hold.until
    placed = next(a for a in told.step() if isinstance(a, Place))
    assert placed.attempt == AttemptId(JobNumber(1), 2)
    assert told.job(1).not_before == 0.0


def test_a_backoff_that_was_slept_through_is_over() -> None:
    told = box("[]", Policy.RESUME)
    told.start(1)
    told.now += 100
    told.lose(1)
    told.now += 10_000
    assert [type(a) for a in plan(told)] == [Ack, Place]


def test_a_hold_waits_for_a_person() -> None:
    told = box()
    told.tell(ev.JobHeld(JobNumber(1), "look"))
    assert plan(told) == []
    told.tell(ev.JobReleased(JobNumber(1), "ana"))
    assert [type(a) for a in plan(told)] == [Place]


def test_the_earliest_time_wakes() -> None:
    told = Story()
    for i in range(1, 4):
        told.submit()
        told.tell(ev.JobHeld(JobNumber(i), "later", until=told.now + 10 * i))
    assert plan(told) == [Wake(told.now + 10)]


def test_a_silent_node_is_no_reason_to_do_anything_with_its_job() -> None:
    told = box()
    told.start(1)
    told.tell(ev.NodeObserved(NodeName("box1"), Health.UNREACHABLE))
    assert plan(told) == []
    told.tell(ev.NodeRemoved(NodeName("box1")))
    assert plan(told) == []


def test_one_step_grants_nothing_twice() -> None:
    told = Story()
    told.node("box1", "a", "a")
    for _ in range(3):
        told.submit("[a]")
    placed = [a for a in told.step() if isinstance(a, Place)]
    assert [p.placements[0].devices for p in placed] == [("a#0",), ("a#1",)]


def test_a_thousand_waiting_jobs_are_looked_at_once_per_shape() -> None:
    told = Story()
    told.node("box1", "a")
    told.submit("[a,cpu=8]")
    told.step()
    for _ in range(1000):
        told.submit("[a]")
    assert plan(told) == [Launch(ONE)]


def elastic(told: Story) -> list[Action]:
    return step(told.world, told.now, elastic={"fake"})


def test_a_slice_is_asked_for_used_and_given_back() -> None:
    told = Story()
    told.node("box1")
    told.submit("2:[4:v4]", "backend:fake")
    assert elastic(told) == [Acquire(JobNumber(1), "fake", parse("2:[4:v4]"))]
    for i in range(2):
        told.node(f"pod-{i}", *["v4"] * 4, slice="pod", backend="fake")
    assert [type(a) for a in elastic(told)] == [Place]
    told.start(1)
    assert elastic(told) == []
    told.exit(1)
    told.step()
    assert Release("pod") in elastic(told)


def test_a_dead_slice_is_given_back_and_another_asked_for() -> None:
    told = Story()
    told.node("pod-0", "v4", slice="pod", backend="fake")
    told.submit("[v4]", "backend:fake", policy=Policy.PRE)
    told.start(1)
    told.now += 600
    told.tell(ev.NodeObserved(NodeName("pod-0"), Health.GONE))
    assert elastic(told) == []
    told.lose(1, preempted=True)
    told.step()
    assert Release("pod") in elastic(told)
    told.now = told.job(1).not_before
    actions = elastic(told)
    assert Acquire(JobNumber(1), "fake", parse("[v4]")) in actions
    assert Release("pod") in actions


def test_a_backend_that_makes_nothing_is_not_asked() -> None:
    told = Story()
    told.submit("[v4]", "backend:fake")
    assert plan(told) == []
