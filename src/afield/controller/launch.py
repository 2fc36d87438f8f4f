"""Brings one attempt to one node: code, environment tools, the launch itself. Every step may be repeated."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afield.config.secrets import Secrets
from afield.controller.keeps import Keeps
from afield.controller.session import Session
from afield.controller.spec import spec
from afield.controller.watch import Stage, Watch
from afield.controller.ways import Ways
from afield.environment import uv
from afield.errors import NotAllowed, NotFound, SetupFailed, UsageError
from afield.model.amount import about_bytes
from afield.model.attempt import Attempt
from afield.model.ids import NodeName
from afield.model.job import Job
from afield.model.ports import Clock
from afield.model.world import World
from afield.runner import points
from afield.snapshot import attached, send
from afield.transport.link import Link

SENDS = 3
"""How often a tree is sent again when the node says that it holds another one."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """What a launch needs: the store's id, the cache with the shadow repositories, and who does its parts."""

    store: str
    cache: Path
    watch: Watch
    world: World
    clock: Clock
    keeps: Keeps
    ways: Ways
    secrets: Secrets

    async def launch(self, job: Job, attempt: Attempt, session: Session) -> dict[str, Any]:
        """Launch on one node and follow its run folder; gives the runner's answer.

        Raises SetupFailed when code or environment cannot be brought there; connection errors mean: ask again.
        """
        body = spec(self.store, job, attempt, session.name, self.world.nodes)
        link = await session.link()
        if uv.needs_uv(job.task.environment):
            async with session.tools:
                await uv.ensure(link, session.facts)
        await self.keeps.give(job, attempt, session)
        await self._attach(job, attempt, link)
        if job.task.environment.key and self.world.nodes[session.name].backend != "local":
            body["environment"]["indexes"] = await self.ways.indexes()
        told = await self._secrets(job)
        cursors = self.watch.cursors(attempt.id, session.name)
        began = self.clock.mono()
        with points.around("controller.launch"):
            reply, _ = await link.call("launch", spec=body, watch=cursors, **told)
        sent = "nothing to send"
        for _ in range(SENDS):
            if reply["state"] != "need":
                break
            how = "sent what differs: {}" if reply["have"] else "sent whole"
            async with self._sent(job, attempt, link, reply["have"]) as size:
                sent = how.format(about_bytes(size))
                reply, _ = await link.call("launch", spec=body, watch=cursors, **told)
        if reply["state"] == "need":
            raise SetupFailed(
                f"node {session.name} does not keep the code of job {job.number}", why="it was sent three times"
            )
        self._synced(job, attempt, began, sent)
        if "facts" in reply:
            self.watch.answered(attempt.id, session.name, reply["facts"])
        return reply

    async def adopt(self, job: Job, attempt: Attempt, session: Session) -> None:
        """Have a node take up what lives there without watchers; for that nothing is sent. Raises what it says."""
        body = spec(self.store, job, attempt, session.name, self.world.nodes)
        cursors = self.watch.cursors(attempt.id, session.name)
        reply, _ = await session.call("launch", spec=body, watch=cursors)
        if "facts" in reply:
            self.watch.answered(attempt.id, session.name, reply["facts"])

    async def _secrets(self, job: Job) -> dict[str, Any]:
        """The values, read now: they are kept nowhere else between a submission and a start, nor between attempts."""
        if not job.task.secrets:
            return {}
        try:
            return {"secrets": await asyncio.to_thread(self.secrets.values, job.task.secrets)}
        except (NotFound, NotAllowed, UsageError) as error:
            raise SetupFailed(error.what, why=error.why, hints=list(error.hints)) from error

    async def _attach(self, job: Job, attempt: Attempt, link: Link) -> None:
        """Put the files that come with the job beside its code; one that is there already is written again."""
        for file in job.task.attached:
            assert job.task.code is not None
            data = await asyncio.to_thread(attached.read, self.cache, job.task.code.workspace, file.blob)
            for offset in range(0, max(1, len(data)), send.PIECE):
                piece = data[offset : offset + send.PIECE]
                last = offset + len(piece) == len(data)
                place: dict[str, Any] = {"attempt": str(attempt.id), "name": file.name, "offset": offset}
                await link.call("attach", piece, **place, total=len(data), last=last)

    def _sent(self, job: Job, attempt: Attempt, link: Link, have: str | None) -> AbstractAsyncContextManager[int]:
        """Sends the code; until the block ends, no other launch puts another tree in its place."""
        code = job.task.code
        assert code is not None
        self.watch.stage(attempt.id, Stage("sync", "start"))
        return send.holding(link, self.cache, code.workspace, code.tree, have)

    def _synced(self, job: Job, attempt: Attempt, began: float, sent: str) -> None:
        if job.task.code is not None:
            self.watch.stage(attempt.id, Stage("sync", "done", sent, seconds=self.clock.mono() - began))


def machine_line(job: Job, attempt: Attempt, others: str = "") -> Stage:
    """The first line of progress: where the attempt goes, why not to the `others`, and how long it waited."""
    names: dict[NodeName, int] = {}
    for placement in attempt.placements:
        names[placement.node] = names.get(placement.node, 0) + len(placement.devices)
    text = ", ".join(f"{n} ({d} device{'s' * (d > 1)})" if d else str(n) for n, d in names.items())
    if others:
        text = f"{text}; {others}"
    return Stage("machine", "done", text, seconds=max(0.0, attempt.placed_at - job.submitted_at))
