"""What every store does, in SQLite and in memory alike."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afield.errors import Conflict, Fault, IllegalMove
from afield.model import event as ev
from afield.model.attempt import Outcome, Why
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Goal
from afield.model.node import Health
from afield.model.world import World
from afield.store.memory import MemoryStore
from afield.store.port import Store
from afield.store.sqlite import SqliteStore
from tests.unit.store.values import attempt, ended, placed, submitted, whole


class InSqlite:
    """Opens stores in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = SqliteStore.open(folder / "state")
        self._folder = folder / "state"

    def again(self) -> Store:
        self.store.close()
        self.store = SqliteStore.open(self._folder)
        return self.store

    def from_backup(self, path: Path) -> Store:
        self.store.close()
        (self._folder / "store.db").write_bytes(path.read_bytes())
        self.store = SqliteStore.open(self._folder)
        return self.store


class InMemory:
    """Opens stores in memory."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = MemoryStore()

    def again(self) -> Store:
        assert isinstance(self.store, MemoryStore)
        self.store = self.store.reopened()
        return self.store

    def from_backup(self, path: Path) -> Store:
        assert isinstance(self.store, MemoryStore)
        self.store = self.store.backed_up(path)
        return self.store


Opener = InSqlite | InMemory


@pytest.fixture(params=[InSqlite, InMemory])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    made = request.param(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener.store


def test_a_fresh_store_holds_nothing(store: Store) -> None:
    assert store.load() == World()
    assert store.records(0) == []
    assert store.jobs() == []
    assert store.job(JobNumber(1)) is None
    assert store.by_key("ann", "key-1") is None
    assert store.next_job() == 1
    assert len(store.id) == 16
    int(store.id, 16)


def test_events_get_numbers_and_change_the_world(store: Store) -> None:
    world = store.load()
    records = store.append([submitted(1), placed(1)], 10.0, world)
    assert [(r.seq, r.at) for r in records] == [(1, 10.0), (2, 10.0)]
    assert world.jobs[JobNumber(1)].live is not None
    assert (world.seq, world.now) == (2, 10.0)
    assert store.records(0) == records
    assert store.records(1) == records[1:]
    assert store.records(0, limit=1) == records[:1]
    assert store.records(2) == []
    assert store.job(JobNumber(1)) == world.jobs[JobNumber(1)]


def test_nothing_to_append_changes_nothing(store: Store) -> None:
    world = store.load()
    assert store.append([], 10.0, world) == []
    assert world == World()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (ev.AttemptStarted(attempt(1, 7)), IllegalMove),
        (placed(9), IllegalMove),
        (ev.NodeSet(NodeName("nowhere"), drained=True), IllegalMove),
        (placed(1), IllegalMove),
        (submitted(5, key="key-1"), Conflict),
        (submitted(2, key="other"), Conflict),
        (submitted(1, key="new"), Fault),
    ],
)
def test_what_cannot_be_folded_leaves_all_as_it_was(store: Store, bad: ev.Event, error: type[Exception]) -> None:
    world = store.load()
    store.append([submitted(1), placed(1)], 10.0, world)
    before = copy.deepcopy(world)
    with pytest.raises(error):
        store.append([ev.GoalSet(JobNumber(1), Goal.STOP, "ann"), submitted(4, key="other"), bad], 11.0, world)
    assert world == before
    assert store.load() == before
    assert len(store.records(0)) == 2
    assert store.next_job() == 2


def test_a_world_that_is_behind_is_refused(store: Store) -> None:
    behind, world = store.load(), store.load()
    store.append([submitted(1)], 10.0, world)
    with pytest.raises(Fault):
        store.append([submitted(2)], 10.0, behind)
    assert behind == World()


def test_a_submit_key_names_one_job_of_one_user(store: Store) -> None:
    world = store.load()
    store.append([submitted(1, key="k"), submitted(2, key="k", user="bob")], 10.0, world)
    assert store.by_key("ann", "k") == (1, "body of 1")
    assert store.by_key("bob", "k") == (2, "body of 2")
    assert store.by_key("eve", "k") is None
    with pytest.raises(Conflict, match="job 1"):
        store.append([submitted(3, key="k")], 11.0, world)


def test_a_key_may_hold_what_is_no_text(store: Store) -> None:
    world = store.load()
    store.append([submitted(1, key="k\udcff", user="a\0\ud800")], 10.0, world)
    assert store.by_key("a\0\ud800", "k\udcff") == (1, "body of 1")
    assert store.load().jobs[JobNumber(1)].user == "a\0\ud800"


def test_numbers_go_on_after_the_highest(store: Store) -> None:
    world = store.load()
    store.append([submitted(7)], 10.0, world)
    assert store.next_job() == 8
    store.append([submitted(3)], 10.0, world)
    assert store.next_job() == 8


def test_finished_jobs_are_kept_and_not_loaded(opener: Opener) -> None:
    world = opener.store.load()
    opener.store.append([*whole(1), submitted(2), placed(2), *ended(2, code=3), submitted(3)], 10.0, world)
    store = opener.again()
    assert set(store.load().jobs) == {2, 3}
    first = store.job(JobNumber(1))
    assert first is not None
    assert first.decided is Outcome.SUCCEEDED
    assert first == world.jobs[JobNumber(1)]
    assert [j.number for j in store.jobs()] == [3, 2, 1]
    assert [j.number for j in store.jobs(unfinished_only=True)] == [3]
    assert store.by_key("ann", "key-1") == (1, "body of 1")
    assert store.next_job() == 4


def test_lists_are_pages_from_the_newest(store: Store) -> None:
    world = store.load()
    store.append([submitted(n) for n in range(1, 8)], 10.0, world)
    assert [j.number for j in store.jobs(limit=3)] == [7, 6, 5]
    assert [j.number for j in store.jobs(limit=3, before=5)] == [4, 3, 2]
    assert store.jobs(before=1) == []
    assert store.jobs(limit=2) == [world.jobs[JobNumber(7)], world.jobs[JobNumber(6)]]


def test_a_list_shows_each_job_as_it_is_now(store: Store) -> None:
    world = store.load()
    store.append([submitted(n) for n in range(1, 4)], 10.0, world)
    assert [j.goal for j in store.jobs()] == [Goal.RUN] * 3
    store.append([ev.GoalSet(JobNumber(2), Goal.STOP, "ann")], 11.0, world)
    assert [j.goal for j in store.jobs()] == [Goal.RUN, Goal.STOP, Goal.RUN]


def test_nodes_come_and_go(opener: Opener) -> None:
    store, world = opener.store, opener.store.load()
    added = [ev.NodeAdded(NodeName(n), "ssh", target=n) for n in ("box2", "box1", "box3")]
    store.append(added, 10.0, world)
    store.append([ev.NodeRemoved(NodeName("box1")), ev.NodeObserved(NodeName("box3"), Health.READY)], 11.0, world)
    store.append([ev.NodeAdded(NodeName("box9"), "local"), ev.NodeRemoved(NodeName("box9"))], 12.0, world)
    found = opener.again().load()
    assert found == world
    assert list(found.nodes) == ["box2", "box3"]
    assert found.nodes[NodeName("box3")].seen_at == 11.0


def test_opening_again_finds_the_same_world(opener: Opener) -> None:
    first, world = opener.store, opener.store.load()
    told = first.id, first.incarnation
    first.append([submitted(1), placed(1), ev.NodeAdded(NodeName("box1"), "ssh")], 10.0, world)
    second = opener.again()
    assert second.load() == world
    assert second.id == told[0]
    assert second.incarnation > told[1]
    second.append([ev.StopOrdered(attempt(1), Why.USER)], 11.0, found := second.load())
    assert opener.again().load() == found


def test_a_backup_is_a_store(opener: Opener, tmp_path: Path) -> None:
    store, world = opener.store, opener.store.load()
    store.append([submitted(1), *whole(2)], 10.0, world)
    at_backup = store.load()
    store.backup(tmp_path / "copy.db")
    store.append([submitted(3)], 11.0, world)
    incarnation = store.incarnation
    with pytest.raises(Conflict):
        store.backup(tmp_path / "copy.db")
    restored = opener.from_backup(tmp_path / "copy.db")
    assert restored.load() == at_backup
    assert [j.number for j in restored.jobs()] == [2, 1]
    assert restored.incarnation > incarnation
    restored.append([submitted(3)], 12.0, restored.load())


def test_long_logs_come_in_pages(store: Store, collect: Callable[[Store], list[ev.Record]]) -> None:
    world = store.load()
    records = store.append([e for n in range(1, 120) for e in whole(n)], 10.0, world)
    assert collect(store) == records


@pytest.fixture
def collect() -> Callable[[Store], list[ev.Record]]:
    def all_pages(store: Store) -> list[ev.Record]:
        found: list[ev.Record] = []
        while page := store.records(found[-1].seq if found else 0, limit=100):
            found += page
        return found

    return all_pages
