"""Taking jobs in: a submit key names one job, also when it is used twice at the same time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from afield.controller.submit import Intake, Submission
from afield.errors import Conflict, StoreRefused
from afield.model.event import NodeAdded, NodeObserved
from afield.model.ids import NodeName
from afield.model.node import Capacity, Health
from afield.model.request import Request
from afield.model.task import Task
from afield.model.world import World
from afield.store.memory import MemoryStore
from afield.store.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asked(key: str, name: str = "") -> Submission:
    return Submission(key, name, "me", Task(argv=("true",)), Request())


class Place:
    """An intake over a store in memory, with one node."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.world = World()
        self.writer = Writer(self.store, self.world)
        self.intake = Intake(self.store, self.world, self.writer)

    async def open(self) -> None:
        box = NodeName("box")
        seen = NodeObserved(box, Health.READY, capacity=Capacity(cpu=2.0, memory_bytes=2**30))
        await self.writer.append([NodeAdded(box, backend="fake", target="box"), seen])

    async def submit(self, *wanted: Submission) -> list[Any]:
        return [job.number for job in await self.intake.submit(wanted, dry_run=False)]


@pytest.fixture
async def place() -> Place:
    made = Place()
    await made.open()
    return made


async def test_the_same_key_twice_at_once_is_one_job(place: Place) -> None:
    assert await asyncio.gather(*(place.submit(asked("k")) for _ in range(5))) == [[1]] * 5
    assert await place.submit(asked("other")) == [2]


async def test_the_same_key_twice_in_one_call_is_one_job(place: Place) -> None:
    assert await place.submit(asked("k"), asked("l"), asked("k")) == [1, 2, 1]
    with pytest.raises(Conflict, match="used twice"):
        await place.submit(asked("m"), asked("m", name="another"))
    assert await place.submit(asked("m")) == [3]


async def test_a_key_whose_first_caller_was_refused_is_free_again(place: Place) -> None:
    place.store.full = True
    refused = await asyncio.gather(*(place.submit(asked("k")) for _ in range(2)), return_exceptions=True)
    assert {type(error) for error in refused} == {StoreRefused}
    place.store.full = False
    (number,) = await place.submit(asked("k"))
    assert [job.number for job in place.world.jobs.values()] == [number]


async def test_a_caller_that_left_in_the_middle_leaves_one_job(place: Place) -> None:
    first = asyncio.ensure_future(place.submit(asked("k")))
    await asyncio.sleep(0)
    first.cancel()
    second = await place.submit(asked("k"))
    with suppress(asyncio.CancelledError):
        await first
    assert [job.number for job in place.world.jobs.values()] == second
