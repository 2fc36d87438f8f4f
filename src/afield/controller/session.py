"""Our side of one node: keeps a link open while it is wanted, tells what it hears, never judges a job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from afield.errors import AfieldError, StoreRefused, Unreachable, in_words
from afield.model.event import Event, NodeObserved
from afield.model.ids import NodeName
from afield.model.node import Capacity, Device, Health
from afield.model.ports import Ports
from afield.transport.link import Link
from afield.transport.port import Transport

Host = tuple[str, int]

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 10.0
AHEAD = 16
"""Blocks of a copy that may wait in memory."""

PROBE_S = 60.0
"""How old the facts of a node may get while its link is open."""

TIDY_FIRST_S, TIDY_S = 30.0, 6 * 3600.0
"""A node is asked to give room back when its link has been open for a while, after the first jobs; then rarely."""

TIDY_WITHIN_S = 3600.0
DAY_S = 86400.0
KEEP = {"every_s": DAY_S, "age_s": 7 * DAY_S, "bytes": 10_000_000_000, "share": 0.1, "fresh_s": 3600.0}
"""What a node keeps: see `tidy` in the runner."""


class Listener(Protocol):
    """Who hears what a session learns."""

    async def record(self, *events: Event) -> None:
        """Append events."""

    async def connected(self, session: Session) -> None:
        """A fresh link is open: follow what runs on this node."""

    def pushed(self, node: NodeName, head: Mapping[str, Any], data: bytes) -> None:
        """The node said something by itself."""


class Session:
    """One node's link, opened again and again with backoff until `close`."""

    def __init__(
        self, name: NodeName, store: str, transport: Callable[[], Transport], listener: Listener, ports: Ports
    ) -> None:
        self.name = name
        self.hello: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.asked_at = 0.0
        """When the facts were asked for, UTC seconds."""
        self.skew_s = 0.0
        """How far the node's clock is before ours, as far as the last probe could tell."""
        self.tools = asyncio.Lock()
        self._store = store
        self._transport = transport
        self._listener = listener
        self._ports = ports
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._hurry = asyncio.Event()
        self._refused: AfieldError | None = None
        self._tries = 0
        self._tried = asyncio.Event()
        self._recorded: Capacity | None = None
        """What the store knows of the node; a probe that could not be recorded is news for the next one."""
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the link open."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"session {self.name}")

    async def close(self) -> None:
        """Let the link go; nothing on the node is touched."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
        self._closed = True
        self._up.set()
        self._tried.set()

    @property
    def up(self) -> bool:
        """Whether the node can be asked now."""
        return self._up.is_set() and not self._closed

    def hurry(self) -> None:
        """Somebody waits for this node: try again now."""
        self._hurry.set()

    async def link(self) -> Link:
        """The open link, waiting for it as long as it takes. Raises Unreachable when the session is closed."""
        while True:
            await self._up.wait()
            if self._closed:
                raise Unreachable(f"node {self.name} was given up")
            if self._link is not None:
                return self._link

    async def link_now(self) -> Link:
        """The open link after at most one more try. Raises the error of that try."""
        if not self.up and not self._closed:
            self._tried.clear()
            self._hurry.set()
            await self._tried.wait()
        if self._link is not None and self.up:
            return self._link
        raise self._refused or Unreachable(f"node {self.name} does not answer")

    @asynccontextmanager
    async def side(self) -> AsyncIterator[Link]:
        """A link for much data, beside the one for news, for as long as the block runs. Raises Unreachable."""
        await self.link_now()
        link = await self._transport().open(self._store)
        link.most = AHEAD
        try:
            yield link
        finally:
            await link.close()

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        """One request on the open link, waiting for the link. Raises what the node or the link says."""
        return await (await self.link()).call(do, data, **fields)

    async def lend(self, path: Path) -> int:
        """A port on the node's loopback that leads to a Unix socket of ours. Raises Unreachable."""
        return await self._transport().lend(path)

    async def take_back(self, path: Path) -> None:
        """End what `lend` began. Raises Unreachable."""
        await self._transport().take_back(path)

    async def forward(self, to: str) -> str:
        """Where a port or a socket of the node is reached on our side, while the link is open. Raises Unreachable."""
        return await self._transport().forward(to)

    async def end_forward(self, at: str, to: str) -> None:
        """End what `forward` began. Raises Unreachable."""
        await self._transport().end_forward(at, to)

    async def probe(self, hosts: Sequence[Host] = ()) -> dict[str, Any]:
        """Ask the node for its facts and record them; with `hosts`, package indexes, whether it reaches one."""
        link = await self.link_now()
        before = self._ports.clock.wall()
        await self._ask(link, hosts=[list(host) for host in hosts])
        self.skew_s = float(self.facts["time"]) - (before + self.asked_at) / 2
        observed = self._observed()
        await self._listener.record(observed)
        self._recorded = observed.capacity
        return self.facts

    async def _ask(self, link: Link, **fields: Any) -> None:
        self.facts, _ = await link.call("probe", **fields)
        self.asked_at = self._ports.clock.wall()

    async def _keep(self) -> None:
        wait = FIRST_RETRY_S
        while True:
            self._hurry.clear()
            try:
                await self._open()
                wait = FIRST_RETRY_S
                await self._live()
            except AfieldError as error:
                self._refused = error
            except Exception as error:
                # Too many open files, a bug: whatever it is, the node is asked again.
                log.exception("the session of node %s", self.name)
                self._refused = Unreachable(f"node {self.name} cannot be asked", why=str(error) or repr(error))
            finally:
                self._down()
            if self._refused is not None:
                await self._refuse(self._refused)
            await self._leave()
            await self._pause(wait * self._ports.chance.between(0.7, 1.3))
            wait = min(wait * 2, LAST_RETRY_S)

    def _down(self) -> None:
        self._up.clear()
        self._tried.set()

    async def _open(self) -> None:
        link = await self._transport().open(self._store)
        link.on_push = lambda head, data: self._listener.pushed(self.name, head, data)
        self._link = link
        self._refused = None

    async def _live(self) -> None:
        link = self._link
        assert link is not None
        self.hello = link.hello
        if not self.facts:
            await self._ask(link)
        self._up.set()
        self._tried.set()
        await self._observe()
        await self._listener.connected(self)
        tidying = asyncio.create_task(self._tidy(link), name=f"tidy {self.name}")
        try:
            while not link.closed.is_set():
                try:
                    await asyncio.wait_for(link.wait_closed(), PROBE_S)
                except TimeoutError:
                    await self._probe_again(link)
        finally:
            tidying.cancel()
        raise Unreachable(f"the connection to {self.name} was lost", why=link.reason)

    async def _probe_again(self, link: Link) -> None:
        """What strangers use and how much disk is free changes without us; recorded when it did."""
        await self._ask(link)
        if self._recorded is None or differs(self._recorded, capacity(self.facts)):
            await self._observe()

    async def _observe(self) -> None:
        observed = self._observed()
        await self._tell(observed)
        self._recorded = observed.capacity

    async def _tidy(self, link: Link) -> None:
        """Have the node give room back; it knows itself when that was done last. Nothing depends on it."""
        wait = TIDY_FIRST_S
        while True:
            await asyncio.sleep(wait)
            wait = TIDY_S
            try:
                done, _ = await link.call("tidy", limits=KEEP, within=TIDY_WITHIN_S)
            except AfieldError as error:
                log.warning("node %s was not tidied: %s (%s)", self.name, error.what, error.why)
                continue
            if any(done.values()):
                log.info("node %s removed %s", self.name, done)

    async def _refuse(self, error: AfieldError) -> None:
        health = Health.NEEDS_LOGIN if error.code == "needs-login" else Health.UNREACHABLE
        await self._tell(NodeObserved(self.name, health, detail=in_words(error), hints=error.hints))

    async def _tell(self, event: Event) -> None:
        """Record as soon as the store can: its full disk says nothing of the node and must not end this session."""
        while True:
            try:
                return await self._listener.record(event)
            except StoreRefused as error:
                log.error("news of node %s: %s (%s)", self.name, error.what, error.why)
            except AfieldError:
                return log.exception("news of node %s", self.name)
            await asyncio.sleep(LAST_RETRY_S / 5)

    async def _leave(self) -> None:
        """Let go of a link that is open although we gave it up: its answer was no good, or could not be recorded."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return

    def _observed(self) -> NodeObserved:
        facts = {**self.hello, **self.facts}
        shown = {
            k: str(v) for k, v in facts.items() if isinstance(v, str | int | float | bool) and k not in ("on", "id")
        }
        return NodeObserved(
            self.name,
            Health.READY,
            capacity=capacity(self.facts),
            boot_id=str(self.hello.get("boot", "")),
            machine_id=str(self.hello.get("machine", "")),
            facts=tuple(sorted(shown.items())),
        )


def differs(before: Capacity, after: Capacity) -> bool:
    """Whether a probe tells something new: other devices or strangers, or a twentieth of some memory or the disk."""
    fixed = [[replace(d, taken_bytes=0) for d in found.devices] for found in (before, after)]
    if fixed[0] != fixed[1] or abs(after.disk_bytes - before.disk_bytes) > before.disk_bytes / 20:
        return True
    pairs = zip(before.devices, after.devices, strict=True)
    return any(abs(a.taken_bytes - b.taken_bytes) > b.memory_bytes / 20 for b, a in pairs)


def capacity(facts: Mapping[str, Any]) -> Capacity:
    """A probe's answer as capacity."""
    devices = tuple(
        Device(
            id=str(d["id"]),
            model=str(d["model"]),
            index=int(d["index"]),
            memory_bytes=int(d["memory_bytes"] or 0),
            busy=str(d.get("busy") or ""),
            taken_bytes=int(d.get("taken_bytes") or 0),
        )
        for d in facts.get("devices", ())
    )
    return Capacity(
        cpu=float(facts.get("cpu") or 1),
        memory_bytes=int(facts.get("memory_bytes") or 0),
        disk_bytes=int(facts.get("disk_free_bytes") or 0),
        devices=devices,
    )
