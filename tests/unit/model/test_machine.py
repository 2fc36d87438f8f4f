"""Lawful moves, as a table: state and event give state and outcome; everything else raises with the story."""

from __future__ import annotations

import pytest

from afield.errors import IllegalMove
from afield.model import event as ev
from afield.model.attempt import Exited, Outcome, State, Why
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import Goal, Phase
from afield.model.machine import BY_WHY, TABLE, forget
from afield.model.node import Capacity, Health
from tests.unit.plan.worlds import Story

ONE = AttemptId(JobNumber(1), 1)
OK, BAD = (Exited(0, 0),), (Exited(0, 3),)


def story(state: State, why: Why = Why.USER, request: str = "[]") -> Story:
    """A world whose job 1 has an attempt in a state."""
    told = Story()
    told.node("box1", "a", "a", "a", "a")
    told.submit(request)
    told.step()
    if state is not State.PLACED:
        told.tell(ev.PrepareStarted(ONE))
    if state in (State.RUNNING, State.STOPPING):
        told.tell(ev.AttemptStarted(ONE))
    if state is State.STOPPING:
        told.tell(ev.StopOrdered(ONE, why))
    if state is State.ENDED:
        told.tell(ev.AttemptExited(ONE, OK))
    assert told.job(1).attempts[0].state is state
    return told


P, R, X, S, E = State.PLACED, State.PREPARING, State.RUNNING, State.STOPPING, State.ENDED
PREPARE, STARTED, STOP = ev.PrepareStarted(ONE), ev.AttemptStarted(ONE), ev.StopOrdered(ONE, Why.USER)
FAILED = ev.PrepareFailed(ONE, "setup", "exit code 1")
DONE, WRONG = ev.AttemptExited(ONE, OK), ev.AttemptExited(ONE, BAD)
STOPPED = ev.AttemptExited(ONE, OK, by_us=True)
LATE = ev.AttemptExited(ONE, OK, by_us=True, why=Why.TIME_LIMIT)
NEVER = ev.NeverStarted(ONE, "sealed")
LOST, PREEMPTED = ev.AttemptGone(ONE, False, "reboot"), ev.AttemptGone(ONE, True, "taken back")


MOVES = [
    (P, PREPARE, R, None),
    (P, FAILED, E, Outcome.SETUP_FAILED),
    (P, STARTED, X, None),
    (P, STOP, S, None),
    (P, NEVER, E, Outcome.NEVER_STARTED),
    (P, LOST, E, Outcome.LOST),
    (P, PREEMPTED, E, Outcome.PREEMPTED),
    (R, STARTED, X, None),
    (R, PREPARE, R, None),
    (R, FAILED, E, Outcome.SETUP_FAILED),
    (R, STOP, S, None),
    (R, DONE, E, Outcome.SUCCEEDED),
    (R, NEVER, E, Outcome.NEVER_STARTED),
    (R, LOST, E, Outcome.LOST),
    (X, DONE, E, Outcome.SUCCEEDED),
    (X, WRONG, E, Outcome.FAILED),
    (X, LATE, E, Outcome.TIMED_OUT),
    (X, STOP, S, None),
    (X, STARTED, X, None),
    (X, NEVER, E, Outcome.NEVER_STARTED),
    (X, LOST, E, Outcome.LOST),
    (X, PREEMPTED, E, Outcome.PREEMPTED),
    (S, STOPPED, E, Outcome.STOPPED),
    (S, DONE, E, Outcome.SUCCEEDED),
    (S, WRONG, E, Outcome.FAILED),
    (S, LATE, E, Outcome.TIMED_OUT),
    (S, NEVER, E, Outcome.STOPPED),
    (S, FAILED, E, Outcome.STOPPED),
    (S, LOST, E, Outcome.STOPPED),
    (S, STARTED, S, None),
    (S, STOP, S, None),
    *[(E, event, E, Outcome.SUCCEEDED) for event in (PREPARE, STARTED, STOP, FAILED, WRONG, NEVER, LOST)],
]


@pytest.mark.parametrize(("state", "event", "after", "outcome"), MOVES)
def test_moves(state: State, event: ev.Event, after: State, outcome: Outcome | None) -> None:
    told = story(state)
    told.tell(event)
    attempt = told.job(1).attempts[0]
    assert (attempt.state, attempt.outcome) == (after, outcome)
    assert told.job(1).phase is not Phase.QUEUED or not attempt.live


def test_what_left_behind_a_closed_gate_was_never_started() -> None:
    told = story(State.RUNNING)
    told.tell(NEVER)
    assert told.job(1).attempts[0].started_at is None


def test_what_runs_cannot_have_failed_to_be_prepared() -> None:
    told = story(State.RUNNING)
    with pytest.raises(IllegalMove) as caught:
        told.tell(FAILED)
    assert all(word in caught.value.why for word in ("placed", "prepare_started", "started"))


@pytest.mark.parametrize("why", list(Why))
@pytest.mark.parametrize("event", [STOPPED, NEVER, LOST, PREEMPTED, FAILED])
def test_a_stop_names_the_outcome(why: Why, event: ev.Event) -> None:
    told = story(State.STOPPING, why)
    told.tell(event)
    seen = {STOPPED: Outcome.SUCCEEDED, NEVER: Outcome.NEVER_STARTED, LOST: Outcome.LOST}
    unseen = {**seen, PREEMPTED: Outcome.PREEMPTED, FAILED: Outcome.SETUP_FAILED}
    assert told.job(1).attempts[0].outcome == (unseen[event] if why is Why.END_FIRST else BY_WHY[why])


@pytest.mark.parametrize(
    ("exits", "why", "cause", "outcome"),
    [
        ({0: 0, 1: 0}, None, None, Outcome.SUCCEEDED),
        ({0: 0, 1: 2}, None, None, Outcome.FAILED),
        ({0: 0}, None, None, Outcome.LOST),
        ({}, None, None, Outcome.LOST),
        ({0: 1}, None, None, Outcome.FAILED),
        ({0: 0, 1: 143}, Why.END_FIRST, 0, Outcome.SUCCEEDED),
        ({0: 1, 1: 143}, Why.END_FIRST, 0, Outcome.FAILED),
        ({1: 143}, Why.END_FIRST, 0, Outcome.LOST),
        ({0: 143, 1: 1}, Why.FAILURE, 1, Outcome.FAILED),
        ({0: 0, 1: 0}, Why.TIME_LIMIT, None, Outcome.TIMED_OUT),
        ({0: 143}, Why.USER, None, Outcome.STOPPED),
    ],
)
def test_exits_of_two_processes(exits: dict[int, int], why: Why | None, cause: int | None, outcome: Outcome) -> None:
    told = story(State.RUNNING, request="2:[]")
    told.tell(ev.AttemptExited(ONE, tuple(Exited(r, c) for r, c in exits.items()), why is not None, why, cause))
    assert told.job(1).attempts[0].outcome is outcome


def test_who_was_stopped_is_not_the_cause() -> None:
    told = story(State.RUNNING, request="2:[]")
    told.tell(STOP, ev.AttemptExited(ONE, (Exited(0, None, 15), Exited(1, None, 15)), by_us=True))
    attempt = told.job(1).attempts[0]
    assert (attempt.outcome, attempt.cause, attempt.exit_status) == (Outcome.STOPPED, None, 143)


def test_the_first_failure_is_the_exit_status() -> None:
    told = story(State.RUNNING, request="2:[]")
    told.tell(ev.AttemptExited(ONE, (Exited(0, None, 15), Exited(1, 7)), cause=1))
    assert told.job(1).attempts[0].exit_status == 7


def test_the_table_leads_nowhere_from_the_end() -> None:
    assert not [key for key in TABLE if key[0] is State.ENDED]
    assert {state for state, _ in TABLE} == set(State) - {State.ENDED}


def test_a_second_attempt_is_refused_while_one_is_live() -> None:
    told = story(State.RUNNING)
    placements = told.job(1).attempts[0].placements
    for number in (1, 2, 3):
        with pytest.raises(IllegalMove):
            told.tell(ev.AttemptPlaced(AttemptId(JobNumber(1), number), Nonce("x"), placements))


def test_a_job_cannot_end_under_a_live_attempt() -> None:
    told = story(State.RUNNING)
    with pytest.raises(IllegalMove):
        told.tell(ev.JobDecided(JobNumber(1), Outcome.SUCCEEDED))


def test_an_end_never_changes_and_takes_no_more_wishes() -> None:
    told = story(State.ENDED)
    told.tell(ev.JobDecided(JobNumber(1), Outcome.SUCCEEDED))
    before = told.job(1)
    told.tell(ev.JobDecided(JobNumber(1), Outcome.FAILED), ev.GoalSet(JobNumber(1), Goal.STOP, "ana"))
    told.tell(ev.JobHeld(JobNumber(1), "why"), ev.JobReleased(JobNumber(1), "ana"))
    assert told.job(1) == before


def test_news_of_a_forgotten_job_harm_nobody() -> None:
    told = story(State.ENDED)
    told.tell(ev.JobDecided(JobNumber(1), Outcome.SUCCEEDED))
    forget(told.world, told.job(1))
    assert told.world.jobs, "an end that its node does not know of is not forgotten"
    told.tell(ev.AttemptAcked(ONE))
    forget(told.world, told.job(1))
    assert not told.world.jobs
    told.tell(ev.AttemptAcked(ONE), ev.JobReleased(JobNumber(1), "ana"), ev.JobHeld(JobNumber(1), "why"))
    with pytest.raises(IllegalMove):
        told.tell(STARTED)


def test_release_forgives_what_has_ended() -> None:
    told = story(State.PREPARING)
    told.never_start(1)
    told.tell(ev.JobHeld(JobNumber(1), "look"))
    assert told.job(1).hold == "look"
    told.tell(ev.JobReleased(JobNumber(1), "ana"))
    assert (told.job(1).hold, told.job(1).forgiven) == ("", 1)


def test_silence_begins_once_and_ends_with_an_answer() -> None:
    told = Story()
    box = told.node("box1")
    told.now += 5
    told.tell(ev.NodeObserved(box, Health.UNREACHABLE, detail="timeout"))
    since = told.now
    told.now += 5
    told.tell(ev.NodeObserved(box, Health.NEEDS_LOGIN))
    assert told.world.nodes[box].silent_since == since
    assert told.world.nodes[box].capacity.cpu == 8.0
    told.tell(ev.NodeObserved(box, Health.READY, capacity=Capacity(2.0)))
    node = told.world.nodes[box]
    assert (node.silent_since, node.seen_at, node.capacity.cpu) == (None, told.now, 2.0)


def test_another_machine_behind_the_name_is_a_new_generation() -> None:
    told = Story()
    box = told.node("box1")
    told.tell(ev.NodeObserved(box, Health.READY, machine_id="box1"))
    assert told.world.nodes[box].generation == 1
    told.tell(ev.NodeObserved(box, Health.READY, machine_id="other"))
    assert told.world.nodes[box].generation == 2


def test_a_start_at_time_zero_is_a_start() -> None:
    told = story(State.PREPARING)
    told.now = 0.0
    told.tell(STARTED)
    told.now = 9.0
    told.tell(STARTED)
    assert told.job(1).attempts[0].started_at == 0.0


def test_nodes_come_change_and_go() -> None:
    told = Story()
    box = told.node("box1")
    told.tell(ev.NodeSet(box, declared=(("gtx1070", 2),), drained=True), ev.NodeSet(box, address="10.0.0.1"))
    node = told.world.nodes[box]
    assert (node.declared, node.drained, node.address) == ((("gtx1070", 2),), True, "10.0.0.1")
    told.tell(ev.NodeRemoved(box), ev.NodeObserved(NodeName("gone"), Health.READY))
    assert not told.world.nodes
