"""A draft is folded call by call beside the world; the cache never shows a job as it was before."""

from __future__ import annotations

import pytest

from afield.errors import Conflict, IllegalMove
from afield.model import event as ev
from afield.model.attempt import State
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.model.node import Health
from afield.model.world import World
from afield.store.cache import KEPT, JobCache
from afield.store.draft import Draft
from afield.store.memory import MemoryStore
from tests.unit.store.values import attempt, placed, submitted

BOX = NodeName("box1")


def test_later_calls_see_what_earlier_ones_left() -> None:
    world = World()
    draft = Draft(world, MemoryStore())
    draft.add([submitted(1), ev.NodeAdded(BOX, "ssh", target="here")], 1.0)
    draft.add([placed(1), ev.NodeObserved(BOX, Health.READY)], 2.0)
    draft.add([ev.AttemptStarted(attempt(1)), ev.NodeSet(BOX, drained=True)], 3.0)
    assert world == World()
    draft.publish()
    live = world.jobs[JobNumber(1)].live
    assert live is not None
    assert live.state is State.RUNNING
    assert world.nodes[BOX].health is Health.READY
    assert world.nodes[BOX].target == "here"
    assert world.nodes[BOX].drained
    assert [r.seq for r in draft.records] == [1, 2, 3, 4, 5, 6]
    assert (world.seq, world.now) == (6, 3.0)


def test_a_node_removed_in_an_earlier_call_is_gone() -> None:
    store, world = MemoryStore(), World()
    store.append([ev.NodeAdded(BOX, "ssh")], 1.0, world)
    draft = Draft(world, store)
    draft.add([ev.NodeRemoved(BOX)], 2.0)
    with pytest.raises(IllegalMove):
        draft.add([ev.NodeSet(BOX, drained=True)], 3.0)
    draft.publish()
    assert world.nodes == {}


def test_a_refused_call_leaves_no_trace_in_the_draft() -> None:
    world = World()
    draft = Draft(world, MemoryStore())
    draft.add([submitted(1, key="k")], 1.0)
    with pytest.raises(IllegalMove):
        draft.add([placed(1), submitted(2, key="free"), placed(1)], 2.0)
    with pytest.raises(Conflict):
        draft.add([submitted(3, key="k")], 2.0)
    records = draft.add([submitted(2, key="free"), placed(1)], 3.0)
    assert [r.seq for r in records] == [2, 3]
    draft.publish()
    assert set(world.jobs) == {1, 2}


def job(number: int) -> Job:
    world, store = World(), MemoryStore()
    store.append([submitted(number)], 1.0, world)
    return world.jobs[JobNumber(number)]


def test_the_cache_gives_a_job_only_as_the_row_says_it_is() -> None:
    cache, kept = JobCache(), job(1)
    cache.put(kept.number, 5, kept)
    assert cache.get(kept.number, 5) is kept
    assert cache.get(kept.number, 6) is None
    assert cache.get(JobNumber(2), 5) is None


def test_the_cache_keeps_the_latest() -> None:
    cache, kept = JobCache(), job(1)
    for number in range(1, KEPT + 2):
        cache.put(JobNumber(number), 1, kept)
    assert cache.get(JobNumber(1), 1) is None
    assert cache.get(JobNumber(2), 1) is kept
    assert cache.get(JobNumber(KEPT + 1), 1) is kept
