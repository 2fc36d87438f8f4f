"""Ports of nodes that somebody here uses: opened on the node's connection, opened again after a cut, closed at the end.

A forward lives as long as its caller reads: there is nothing to store, and nothing to take up after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from afield.controller.fleet import Fleet
from afield.controller.follow import Frame, News
from afield.controller.session import Session
from afield.errors import AfieldError, NotFound, Unreachable
from afield.model.attempt import Attempt
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.transport.link import Link

log = logging.getLogger(__name__)

SOON_S, LATER_S = 0.5, 5.0
"""How often a node is asked whether something listens: before it does, and once it does."""

UNTOLD = "untold"
AGAIN_S = 1.0
"""Before a connection that refused to forward is asked again."""


@dataclass(slots=True)
class _Held:
    """One caller's forward: where it leads now, and what was told."""

    places: list[str]
    ways: dict[str, str] = field(default_factory=dict)
    listens: list[bool | str | None] = field(default_factory=list)
    waiting: str = ""
    attempt: int | None = None
    opened: bool = False
    again: bool = False
    """Whether a connection that was there broke in our hands once; the next one is asked before anybody is told."""


@dataclass(frozen=True, slots=True)
class Forwards:
    """The forwards of a fleet; `find` gives a job or raises NotFound, `view` shows one."""

    fleet: Fleet
    find: Callable[[int], Job]
    view: Callable[[Job], dict[str, Any]]
    news: News

    async def hold(self, wanted: Mapping[str, Any]) -> AsyncIterator[Frame]:
        """Hold forwards to `places` of a node, or of the node of a job's process, until the caller leaves.

        Frames: `open` (node; attempt of the job or None; ways: place to where it is reached here), `listens` (place,
        yes), `cut` (why), `waiting` (why); last `end` with the job when it has ended. Raises NotFound, and Unreachable
        for a first connection.
        """
        held = _Held(list(wanted["places"]))
        number = wanted.get("job")
        if number is None:
            session = self.fleet.session(wanted["node"])
            known = partial(self._knows, session)
            async with aclosing(self._on(session, held, asyncio.Event(), known)) as frames:
                async for frame in frames:
                    yield frame
            raise NotFound(f"node {session.name} was removed")
        job = self.find(number)
        if job.decided is not None:
            raise _over(job)
        with self.news.listening(JobNumber(number)) as changed:
            while (job := self.find(number)).decided is None:
                changed.clear()
                name = _node(job, wanted.get("process") or 0)
                if name is None:
                    if held.waiting != job.phase:
                        held.waiting = str(job.phase)
                        yield {"on": "waiting", "why": ": ".join(filter(None, self._where(job)))}, b""
                    await changed.wait()
                    continue
                held.waiting, held.attempt = "", len(job.attempts)
                session = self.fleet.session(name)
                async with aclosing(self._on(session, held, changed, self._stays(job, wanted, name))) as frames:
                    async for frame in frames:
                        yield frame
        yield {"on": "end", "job": self.view(job)}, b""

    def _knows(self, session: Session) -> bool:
        return self.fleet.find(session.name) is session

    def _where(self, job: Job) -> tuple[str, str]:
        return f"job {job.number} is {job.phase}", self.view(job)["reason"]

    def _stays(self, then: Job, wanted: Mapping[str, Any], name: NodeName) -> Callable[[], bool]:
        def stays() -> bool:
            job = self.find(then.number)
            same = len(job.attempts) == len(then.attempts)
            return same and job.decided is None and _node(job, wanted.get("process") or 0) == name

        return stays

    async def _on(
        self, session: Session, held: _Held, changed: asyncio.Event, stays: Callable[[], bool]
    ) -> AsyncGenerator[Frame, None]:
        """Frames of a forward to one node, as long as it leads there."""
        name = str(session.name)
        while stays():
            link = await self._link(session, held, changed, stays)
            if link is None:
                return
            try:
                for place in held.places:
                    held.ways[place] = await session.forward(place)
                held.opened, held.listens = True, [UNTOLD] * len(held.places)
                yield {"on": "open", "node": name, "attempt": held.attempt, "ways": dict(held.ways)}, b""
                async with aclosing(self._watch(link, held, changed, stays)) as frames:
                    async for frame in frames:
                        yield frame
            except Unreachable as error:
                if held.opened:
                    yield {"on": "cut", "node": name, "why": error.why or error.what}, b""
                elif held.again:
                    raise
                held.again = True
                await asyncio.sleep(AGAIN_S)
            finally:
                await self._end(session, held)

    async def _link(
        self, session: Session, held: _Held, changed: asyncio.Event, stays: Callable[[], bool]
    ) -> Link | None:
        """The node's link; None when the forward shall not lead there any more. A first one must come at once."""
        if not held.opened:
            return await session.link_now()
        waiting = asyncio.create_task(session.link())
        try:
            while not waiting.done():
                moved = asyncio.create_task(changed.wait())
                await asyncio.wait({waiting, moved}, timeout=LATER_S, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
                changed.clear()
                if not stays():
                    return None
            return waiting.result()
        finally:
            waiting.cancel()

    async def _watch(
        self, link: Link, held: _Held, changed: asyncio.Event, stays: Callable[[], bool]
    ) -> AsyncGenerator[Frame, None]:
        """Say what listens there, until the link is lost (raises Unreachable) or the forward leads elsewhere."""
        now, due = asyncio.get_running_loop().time, 0.0
        while stays():
            changed.clear()
            if now() >= due:
                reply, _ = await link.call("listens", places=held.places)
                for place, before, yes in zip(held.places, held.listens, reply["listens"], strict=True):
                    if before != yes:
                        yield {"on": "listens", "place": place, "yes": yes}, b""
                held.listens = list(reply["listens"])
                due = now() + (LATER_S if all(held.listens) else SOON_S)
            await _first(link.closed, changed, due - now())
            if link.closed.is_set():
                raise Unreachable(f"the connection to {link.name} was lost", why=link.reason)

    async def _end(self, session: Session, held: _Held) -> None:
        ways, held.ways = held.ways, {}
        for place, at in ways.items():
            with suppress(AfieldError):  # it went with its connection
                await session.end_forward(at, place)


async def _first(one: asyncio.Event, other: asyncio.Event, within_s: float) -> None:
    """Wait until one of two events is set, or the time is over."""
    tasks = [asyncio.create_task(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _node(job: Job, process: int) -> NodeName | None:
    """Where a process of a job is now; None while it is nowhere. Raises NotFound when the job has no such process."""
    if process >= job.request.processes:
        raise NotFound(
            f"job {job.number} has no process {process}", why=f"its processes are 0 to {job.request.processes - 1}"
        )
    live: Attempt | None = job.live
    if live is None:
        return None
    return next((p.node for p in live.placements if p.rank == process), None)


def _over(job: Job) -> NotFound:
    where = job.last.nodes[0] if job.last is not None and job.last.nodes else None
    return NotFound(
        f"job {job.number} runs no more",
        why=f"it ended: {str(job.decided).replace('_', ' ')}",
        hints=[f"afield forward node:{where} PORT    something else there"] if where else [],
    )
