"""Group commit: what waits is committed together, each call is answered for itself, the world shows what is durable."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from afield.errors import Conflict, Fault, IllegalMove, StoreRefused
from afield.model import event as ev
from afield.model.ids import JobNumber
from afield.model.job import Goal
from afield.model.world import World
from afield.store.draft import Draft
from afield.store.memory import MemoryStore
from afield.store.port import Store
from afield.store.sqlite import SqliteStore
from afield.store.writer import Writer
from tests.unit.store.values import attempt, placed, submitted, whole


class Gated(MemoryStore):
    """A store whose commits wait until they are let through, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.committed = threading.Event()
        self.leave = threading.Event()
        self.leave.set()
        self.sizes: list[int] = []
        self.broken: Exception | None = None

    def commit(self, draft: Draft) -> None:
        self.begun.set()
        assert self.gate.wait(20)
        if self.broken is not None:
            raise self.broken
        super().commit(draft)
        self.sizes.append(len(draft.records))
        self.committed.set()
        assert self.leave.wait(20)


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = SqliteStore.open(tmp_path) if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))


async def begun(store: Gated) -> None:
    assert await asyncio.to_thread(store.begun.wait, 20)


def test_many_tasks_append_and_each_gets_its_own_records(store: Store) -> None:
    async def story() -> None:
        world = store.load()
        writer = Writer(store, world)

        async def life(number: int) -> list[ev.Record]:
            found = []
            for event in whole(number):
                found += await writer.append([event])
            return found

        lives = await asyncio.gather(*(life(n) for n in range(1, 31)))
        await writer.close()
        for number, records in enumerate(lives, 1):
            assert [r.event for r in records] == whole(number)
            assert [r.seq for r in records] == sorted(r.seq for r in records)
        everything = sorted((r for life in lives for r in life), key=lambda r: r.seq)
        assert store.records(0) == everything
        assert [r.seq for r in everything] == list(range(1, len(everything) + 1))
        assert store.load().jobs == {}
        assert world.seq == len(everything)

    run(story)


def test_what_waits_is_one_transaction_and_calls_stay_together() -> None:
    async def story() -> None:
        store = Gated()
        writer = Writer(store, store.load())
        first = asyncio.create_task(writer.append([submitted(1)]))
        await begun(store)
        rest = [asyncio.create_task(writer.append([submitted(n), placed(n)])) for n in range(2, 12)]
        await asyncio.sleep(0)
        store.gate.set()
        await first
        records = await asyncio.gather(*rest)
        assert store.sizes == [1, 20]
        assert [r.seq for call in records for r in call] == list(range(2, 22))
        await writer.close()

    run(story)


def test_the_world_shows_nothing_before_it_is_durable() -> None:
    async def story() -> None:
        store = Gated()
        world = store.load()
        writer = Writer(store, world)
        task = asyncio.create_task(writer.append([submitted(1)]))
        await begun(store)
        assert world == World()
        assert not task.done()
        store.gate.set()
        await task
        assert set(world.jobs) == {1}
        await writer.close()

    run(story)


def test_an_illegal_call_fails_alone(store: Store) -> None:
    async def story() -> None:
        world = store.load()
        writer = Writer(store, world)
        calls = [
            writer.append([submitted(1), placed(1)]),
            writer.append([submitted(2), ev.AttemptStarted(attempt(1, 5))]),
            writer.append([submitted(3, key="key-1")]),
            writer.append([submitted(2)]),
        ]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(found[1], IllegalMove)
        assert isinstance(found[2], Conflict)
        assert [r.seq for call in (found[0], found[3]) for r in call] == [1, 2, 3]
        assert set(world.jobs) == {1, 2}
        assert world == store.load()
        await writer.close()

    run(story)


@pytest.mark.parametrize(
    ("broken", "error"), [(StoreRefused("disk full"), StoreRefused), (RuntimeError("no such luck"), Fault)]
)
def test_a_refused_commit_fails_its_whole_batch_and_nothing_else(broken: Exception, error: type[Exception]) -> None:
    async def story() -> None:
        store = Gated()
        world = store.load()
        told: list[Sequence[ev.Record]] = []
        writer = Writer(store, world, on_commit=told.append)
        store.gate.set()
        await writer.append([submitted(1)])
        before, store.broken = copy.deepcopy(world), broken
        found = await asyncio.gather(*(writer.append([submitted(n)]) for n in (2, 3)), return_exceptions=True)
        assert [type(f) for f in found] == [error, error]
        assert world == before
        store.broken = None
        records = await writer.append([submitted(2)])
        assert records[0].seq == 2
        assert [r.seq for batch in told for r in batch] == [1, 2]
        await writer.close()

    run(story)


def test_who_is_told_of_a_commit_sees_it_in_the_world(store: Store) -> None:
    async def story() -> None:
        world = store.load()
        seen: list[tuple[int, int]] = []
        writer = Writer(store, world, on_commit=lambda records: seen.append((records[-1].seq, world.seq)))
        await writer.append([submitted(1), placed(1)])
        await writer.append([ev.GoalSet(JobNumber(1), Goal.STOP, "ann")])
        await writer.close()
        assert seen == [(2, 2), (3, 3)]

    run(story)


def test_a_fault_in_who_is_told_changes_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        def fail(_: Sequence[ev.Record]) -> None:
            raise RuntimeError("no such luck")

        writer = Writer(store, store.load(), on_commit=fail)
        assert (await writer.append([submitted(1)]))[0].seq == 1
        assert (await writer.append([submitted(2)]))[0].seq == 2
        await writer.close()

    run(story)
    assert "no such luck" in caplog.text


def test_a_cancelled_call_harms_no_other() -> None:
    async def story() -> None:
        store = Gated()
        world = store.load()
        writer = Writer(store, world)
        committing = asyncio.create_task(writer.append([submitted(1)]))
        await begun(store)
        waiting = asyncio.create_task(writer.append([submitted(2)]))
        other = asyncio.create_task(writer.append([submitted(3)]))
        await asyncio.sleep(0)
        committing.cancel()
        waiting.cancel()
        await asyncio.sleep(0)
        store.gate.set()
        await other
        assert set(world.jobs) == {1, 3}
        await writer.close()

    run(story)


def test_followers_get_the_log_and_then_what_comes(store: Store) -> None:
    async def story() -> None:
        writer = Writer(store, store.load())
        await writer.append([e for n in range(1, 200) for e in whole(n)])
        got: list[int] = []
        enough = asyncio.Event()

        async def follow() -> None:
            async for record in writer.follow(3):
                got.append(record.seq)
                if record.seq >= 1196:
                    enough.set()

        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await writer.append([submitted(200)])
        await writer.append([placed(200)])
        await enough.wait()
        await writer.append([ev.GoalSet(JobNumber(200), Goal.STOP, "ann")])
        await writer.close()
        await task
        assert got == list(range(4, 1198))

    run(story)


def test_followers_are_never_ahead_of_the_world() -> None:
    async def story() -> None:
        store = Gated()
        store.gate.set()
        store.leave.clear()
        world = store.load()
        writer = Writer(store, world)
        ahead: list[bool] = []

        async def follow() -> None:
            async for record in writer.follow(0):
                ahead.append(record.seq > world.seq)

        task = asyncio.create_task(writer.append([submitted(1)]))
        assert await asyncio.to_thread(store.committed.wait, 20)
        following = asyncio.create_task(follow())
        for _ in range(5):
            await asyncio.sleep(0)
        store.leave.set()
        await task
        await writer.close()
        await following
        assert ahead == [False]

    run(story)


def test_a_closed_writer_takes_nothing_more(store: Store) -> None:
    async def story() -> None:
        writer = Writer(store, store.load())
        waiting = [asyncio.create_task(writer.append([submitted(n)])) for n in range(1, 4)]
        await asyncio.sleep(0)
        await writer.close()
        assert [r.seq for task in waiting for r in await task] == [1, 2, 3]
        assert await asyncio.gather(*waiting)
        with pytest.raises(StoreRefused):
            await writer.append([submitted(4)])

    run(story)


def test_nothing_to_append_is_no_commit() -> None:
    async def story() -> None:
        store = Gated()
        writer = Writer(store, store.load())
        assert await writer.append([]) == []
        assert not store.begun.is_set()
        await writer.close()

    run(story)
