"""Events in any order, lawful or not: each is folded and leaves a sound world, or is refused and changes nothing."""

from __future__ import annotations

import copy
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import IllegalMove
from afield.model import event as ev
from afield.model.attempt import Attempt, Exited, Outcome, Placement, State, Why
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import ENDS, Goal, Job, Phase
from afield.model.machine import TABLE, fold, forget
from afield.model.node import Capacity, Device, Health
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task
from afield.model.world import World

JOBS = st.integers(1, 3).map(JobNumber)
ATTEMPTS = st.builds(AttemptId, JOBS, st.integers(-1, 4))
NODES = st.sampled_from(["box1", "box2"]).map(NodeName)
WHYS = st.sampled_from(list(Why))
EXITS = st.lists(st.builds(Exited, st.integers(0, 2), code=st.integers(0, 2)), max_size=3).map(tuple)


def placed(name: AttemptId, processes: int) -> ev.AttemptPlaced:
    """No two jobs share a device or a slice here: what is granted is the plan's business."""
    spots = tuple(Placement(i, 0, i, NodeName("box1"), (f"{name.job}/{i}",)) for i in range(processes))
    return ev.AttemptPlaced(name, Nonce("n"), spots)


EVENTS = st.one_of(
    st.builds(ev.GoalSet, JOBS, st.sampled_from(list(Goal)), st.just("ann")),
    st.builds(ev.JobHeld, JOBS, st.just("why"), st.none() | st.just(50.0)),
    st.builds(ev.JobReleased, JOBS, st.just("ann")),
    st.builds(ev.JobDecided, JOBS, st.sampled_from(list(Outcome)[:-1])),
    st.builds(placed, ATTEMPTS, st.integers(1, 3)),
    st.builds(placed, st.builds(AttemptId, JOBS, st.just(1)), st.integers(1, 3)),
    st.builds(ev.PrepareStarted, ATTEMPTS),
    st.builds(ev.PrepareFailed, ATTEMPTS, st.sampled_from(["", "setup"]), st.just("no"), EXITS),
    st.builds(ev.AttemptStarted, ATTEMPTS),
    st.builds(ev.StopOrdered, ATTEMPTS, WHYS),
    st.builds(ev.AttemptExited, ATTEMPTS, EXITS, st.booleans(), st.none() | WHYS, st.none() | st.integers(0, 2)),
    st.builds(ev.NeverStarted, ATTEMPTS, st.just("sealed")),
    st.builds(ev.AttemptGone, ATTEMPTS, st.booleans(), st.just("reboot"), EXITS),
    st.builds(ev.AttemptAcked, ATTEMPTS),
    st.builds(ev.NodeAdded, NODES, st.just("ssh")),
    st.builds(ev.NodeSet, NODES, drained=st.none() | st.booleans()),
    st.builds(
        ev.NodeObserved,
        NODES,
        st.sampled_from(list(Health)),
        capacity=st.none() | st.just(Capacity(4.0, devices=(Device("x", "a"),))),
        machine_id=st.sampled_from(["", "m1", "m2"]),
    ),
    st.builds(ev.NodeRemoved, NODES),
)


def submitted(number: int) -> ev.JobSubmitted:
    return ev.JobSubmitted(JobNumber(number), f"k{number}", "", "", "ann", Task(("true",)), Request(), Policy.RERUN)


@settings(max_examples=400)
@given(st.lists(EVENTS, max_size=40))
def test_any_events_are_folded_into_a_sound_world_or_refused(events: list[ev.Event]) -> None:
    world = World()
    ends: dict[AttemptId, Attempt] = {}
    over: dict[JobNumber, Job] = {}
    for seq, event in enumerate((submitted(1), submitted(2), submitted(3), *events), 1):
        before = copy.copy(world.jobs), copy.copy(world.nodes)
        try:
            fold(world, ev.Record(seq, float(seq), event))
        except IllegalMove:
            assert (world.jobs, world.nodes) == before
        world.check()
        for job in world.jobs.values():
            look_at(job, ends, over)


def look_at(job: Job, ends: dict[AttemptId, Attempt], over: dict[JobNumber, Job]) -> None:
    """What was once so about a job's ends is so for ever; its phase fits."""
    for attempt in job.attempts:
        if attempt.state is State.ENDED:
            first = ends.setdefault(attempt.id, attempt)
            assert (attempt.outcome, attempt.exits, attempt.ended_at) == (first.outcome, first.exits, first.ended_at)
            assert attempt.outcome is not None
            assert attempt.ended_at is not None
        else:
            assert not attempt.acked
    if job.decided is not None:
        first_job = over.setdefault(job.number, job)
        assert (job.decided, job.ended_at, len(job.attempts)) == (
            first_job.decided,
            first_job.ended_at,
            len(first_job.attempts),
        )
    assert (job.phase in ENDS) == (job.decided is not None)
    assert (job.phase is Phase.QUEUED) == job.waiting


def test_the_table_has_no_way_back() -> None:
    order = [State.PLACED, State.PREPARING, State.RUNNING, State.STOPPING, State.ENDED]
    for (state, word), after in TABLE.items():
        assert order.index(after) >= order.index(state), (state, word)
    assert State.ENDED not in {state for state, _ in TABLE}
    ways = Counter(state for (state, _), after in TABLE.items() if after is State.ENDED)
    assert all(ways[state] for state in order[:-1]), "every state has a way to an end"


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=30))
def test_what_is_forgotten_has_nothing_left_to_do(events: list[ev.Event]) -> None:
    world = World()
    for seq, event in enumerate((submitted(1), *events), 1):
        try:
            fold(world, ev.Record(seq, float(seq), event))
        except IllegalMove:
            continue
    known = dict(world.jobs)
    for job in known.values():
        forget(world, job)
    for number, job in known.items():
        done = job.decided is not None and all(a.acked for a in job.attempts)
        assert (number in world.jobs) == (not done)
