"""A session asks its node again and again: whatever breaks, and whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from afield.controller import session as sessions
from afield.controller.effects import Effects
from afield.controller.real import REAL
from afield.controller.session import Session
from afield.controller.settle import Order
from afield.errors import StoreRefused, Unreachable
from afield.model.attempt import Attempt, Placement, State, Why
from afield.model.event import Event, NodeObserved
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce

NODE = NodeName("n")

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Node:
    """A node that answers probes; who opens a link to it meets `troubles` first. It is the listener, too."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.busy = ""
        self.full = False
        self.asked: list[str] = []
        self.events: list[Event] = []
        self.news = asyncio.Event()
        self.hello: dict[str, Any] = {}
        self.on_push: Any = None
        self.closed = asyncio.Event()
        self.reason = ""

    async def open(self, store: str) -> Node:
        if self.troubles:
            raise self.troubles.pop(0)
        return self

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        self.asked.append(do)
        self.news.set()
        device = {"id": "g", "model": "m", "index": 0, "memory_bytes": 10, "busy": self.busy}
        return ({"cpu": 1, "time": 0, "devices": [device]} if do == "probe" else {}), b""

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def close(self) -> None:
        self.closed.set()

    async def record(self, *events: Event) -> None:
        if self.full:
            raise StoreRefused("the disk is full")
        self.events += events
        self.news.set()

    async def connected(self, session: Session) -> None:
        pass

    def pushed(self, *news: Any) -> None:
        pass

    @property
    def seen(self) -> list[str]:
        """What the store knows of the device's user, over time."""
        return [e.capacity.devices[0].busy for e in self.events if isinstance(e, NodeObserved) and e.capacity]


def session(node: Node) -> Session:
    return Session(NODE, "st", lambda: node, node, REAL)  # type: ignore[arg-type, return-value]


async def until(node: Node, reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not reached():
            node.news.clear()
            await node.news.wait()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(sessions, "PROBE_S", 0.02)


async def test_what_is_no_error_of_the_node_is_tried_again() -> None:
    node = Node(OSError(24, "Too many open files"))
    kept = session(node)
    kept.start()
    await until(node, lambda: len(node.events) == 2)
    assert [str(e.health) for e in node.events if isinstance(e, NodeObserved)] == ["unreachable", "ready"]
    await kept.close()


async def test_a_probe_that_could_not_be_recorded_is_news_for_the_next() -> None:
    node = Node()
    node.busy = "a stranger"
    kept = session(node)
    kept.start()
    await until(node, lambda: node.seen)
    node.full, node.busy = True, ""
    with pytest.raises(StoreRefused):
        await kept.probe()
    node.full = False
    await until(node, lambda: node.seen[-1] == "")
    await kept.close()


async def test_who_waits_for_a_node_that_is_removed_is_told() -> None:
    kept = session(Node(*[Unreachable("down")] * 100000))
    kept.start()
    waiting = asyncio.create_task(kept.link())
    await asyncio.sleep(0.05)
    await kept.close()
    with pytest.raises(Unreachable, match="given up"):
        await waiting
    with pytest.raises(Unreachable):
        await kept.link_now()


async def test_an_order_for_a_removed_node_is_given_when_it_is_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afield.controller.effects.AGAIN_S", 0.01)
    gone, back = session(Node(*[Unreachable("down")] * 100000)), Node()
    found, woken = {NODE: gone}, asyncio.Event()
    effects = Effects(None, found.get, back.record, lambda _: woken.set())  # type: ignore[arg-type]
    placed = (Placement(0, 0, 0, NODE),)
    attempt = Attempt(AttemptId(JobNumber(1), 1), Nonce("n"), placed, 0.0, State.STOPPING, Why.USER)

    class Job:
        user = "u"

        class task:
            grace_s = 1.0

    gone.start()
    effects.order(Job, attempt, Order("stop", NODE, "user"))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    await gone.close()
    await woken.wait()
    found[NODE] = session(back)
    found[NODE].start()
    effects.order(Job, attempt, Order("stop", NODE, "user"))  # type: ignore[arg-type]
    await until(back, lambda: "stop" in back.asked)
    await found[NODE].close()


async def test_an_order_that_breaks_on_our_side_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afield.controller.effects.AGAIN_S", 0.01)
    woken = asyncio.Event()
    effects = Effects(None, lambda _: None, Node().record, lambda _: woken.set())  # type: ignore[arg-type]

    async def breaks() -> None:
        raise KeyError("a bug")

    effects.catch_up(AttemptId(JobNumber(1), 1), NODE, breaks)
    async with asyncio.timeout(20):
        await woken.wait()
