"""Data of nodes and jobs: what a place is, what lies there, and files on their way between a node and a caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from afield.controller.beside import say_which, workers_of
from afield.controller.fleet import Fleet
from afield.controller.follow import Frame
from afield.errors import AfieldError, NotFound, Unreachable
from afield.model.ids import NodeName
from afield.model.job import Job
from afield.transport.link import Link

AHEAD = 16
"""Pieces on their way to a node before the first one's answer is waited for."""

Wanted = Mapping[str, Any]
Find = Callable[[int], Job]


@dataclass(frozen=True, slots=True)
class Data:
    """The copies of a fleet; `find` gives a job or raises NotFound."""

    fleet: Fleet
    find: Find

    async def places(self, wanted: Wanted, user: str) -> list[dict[str, Any]]:
        """What a place is on each node that it is on: path, kind, size, and how rsync gets there.

        `wanted` has nodes (null: all of them) or a job with workers (null: all), an area and a path. A node that does
        not answer has `error`. Raises NotFound and UsageError.
        """
        chosen = self._nodes(wanted)
        body = {"path": wanted["path"], "area": wanted["area"], "user": user, "tools": wanted.get("tools", False)}
        if wanted.get("job") is not None:
            last = self.find(wanted["job"]).last
            body.update(area="job", attempt=str(last.id) if last else "")
        return list(await asyncio.gather(*(self._place(name, worker, body) for worker, name in chosen)))

    async def listing(self, node: str, path: str, *, deep: bool) -> list[list[Any]]:
        """What lies below a folder of a node: [path, kind, size, mtime_ns, mode, link target]."""
        link = await self.fleet.session(node).link_now()
        reply, _ = await link.call("data.list", path=path, deep=deep)
        return list(reply["entries"])

    async def get(self, node: str, path: str, files: Sequence[Sequence[Any]]) -> AsyncIterator[Frame]:
        """Files below a folder of a node, each from its offset on: `file`, `data`, `sum` or `gone`; last `done`."""
        async with (
            self.fleet.session(node).side() as link,
            aclosing(link.stream("data.get", path=path, files=files)) as got,
        ):
            async for head, data in got:
                yield {k: v for k, v in head.items() if k not in ("re", "id", "more")}, data

    async def fetch(self, node: str, folder: str, url: str, sha256: str) -> AsyncIterator[Frame]:
        """Download into a folder of a node: `progress` now and then, last `fetched`. It ends with its caller."""
        link = await self.fleet.session(node).link_now()
        async with aclosing(link.stream("data.fetch", folder=folder, url=url, sha256=sha256)) as got:
            async for head, data in got:
                yield {k: v for k, v in head.items() if k not in ("re", "id", "more")}, data

    async def put(self, node: str, base: str, items: AsyncIterator[Frame]) -> int:
        """Take items into a folder of a node, in order; how many. Raises what the node says."""
        async with self.fleet.session(node).side() as link:
            return await deliver(link, base, items)

    async def _place(self, name: NodeName, worker: int, body: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"node": str(name), "worker": worker}
        session = self.fleet.find(name)
        try:
            if session is None:
                raise Unreachable(f"node {name} is not known any more", hints=["afield node add"])
            found, _ = await (await session.link_now()).call("data.find", **body)
        except AfieldError as error:
            return {**shown, "error": error.as_dict()}
        return {**shown, **found, "reach": self.fleet.reach(name)}

    def _nodes(self, wanted: Wanted) -> list[tuple[int, NodeName]]:
        if wanted.get("job") is not None:
            return _workers(self.find(wanted["job"]), wanted)
        names = wanted.get("nodes")
        chosen = [n["name"] for n in self.fleet.all()] if names is None else [self.fleet.view(n)["name"] for n in names]
        return [(number, NodeName(name)) for number, name in enumerate(chosen)]


async def deliver(link: Link, base: str, items: AsyncIterator[Frame]) -> int:
    """Have a node take items into a folder, in order; how many. Raises what the node says."""
    count = 0
    waiting: deque[Callable[[], Awaitable[Any]]] = deque()
    async for head, data in items:
        waiting.append(await link.begin("data.put", data, base=base, item=head))
        count += 1
        if len(waiting) > AHEAD:
            await waiting.popleft()()
    while waiting:
        await waiting.popleft()()
    return count


def _workers(job: Job, wanted: Wanted) -> list[tuple[int, NodeName]]:
    if job.last is None:
        raise NotFound(f"job {job.number} has no folder yet", why=f"it is {job.phase}")
    workers = wanted.get("workers")
    if not workers and workers is not None and len(job.last.nodes) > 1:
        raise say_which(job)
    return workers_of(job, workers or None)
