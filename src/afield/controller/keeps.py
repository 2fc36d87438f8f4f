"""Keep folders on our side: mirrored while a job runs that may be resumed, and handed on to an attempt elsewhere."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from afield.controller.data import deliver
from afield.controller.follow import Frame
from afield.controller.session import Session
from afield.controller.spec import resumes
from afield.errors import SetupFailed
from afield.model.attempt import Attempt
from afield.model.ids import NodeName
from afield.model.job import Job
from afield.model.policy import Policy
from afield.runner import blocks
from afield.transport.landing import Brought, Here, Landing, offset_of, safe

RESUMING = frozenset({Policy.RESUME, Policy.PRE, Policy.REAPPLY})
QUIET_S = 0.5
"""For how long a file must not have changed to be finished."""


class Keeps:
    """The mirror in a folder. `job` gives a job or raises NotFound, `find` the session of a node."""

    def __init__(self, folder: Path, job: Callable[[int], Job], find: Callable[[NodeName], Session | None]) -> None:
        self._folder = folder
        self._job = job
        self._find = find
        self._locks: dict[tuple[int, int], asyncio.Lock] = {}
        self._seen: dict[tuple[str, int], set[str]] = {}

    def mirrored(self, attempt: Attempt) -> bool:
        """Whether an attempt's keep folders are brought here by themselves.

        The job's policy may resume it elsewhere, and no later attempt has keep folders of its own.
        """
        job = self._job(attempt.id.job)
        later = job.attempts[attempt.id.number :]
        return job.policy in RESUMING and not any(a.started_at is not None for a in later)

    async def bring(self, attempt: Attempt, worker: int, session: Session) -> None:
        """Bring what one node's keep folder holds now, but what is being written. What was removed there goes here."""
        async with self._locks.setdefault((attempt.id.job, worker), asyncio.Lock()):
            await self._bring(attempt, worker, session)

    async def _bring(self, attempt: Attempt, worker: int, session: Session) -> None:
        link = await session.link_now()
        asked: dict[str, Any] = {"area": "job", "attempt": str(attempt.id), "path": "keep", "patterns": []}
        found, _ = await link.call("data.ready", quiet_s=QUIET_S, over=not attempt.live, **asked)
        here = self._place(attempt, worker)
        rows = [row for row in found["entries"] if row[6] and safe(os.fsencode(row[0]).split(b"/"))]
        self._drop(attempt, worker, {row[0] for row in found["entries"]})
        with Landing(Brought(here), replace=True) as landing:
            for row in rows:
                if row[1] == "link":
                    landing.link(row[0], row[5])
            known = Here(here)
            files = [
                [row[0], offset_of(known, row[0], row[2], row[3])]
                for row in rows
                if row[1] == "file" and known.get(row[0]) != (row[2], row[3])
            ]
            if files:
                await self._land(session, landing, found["path"], files)

    async def give(self, job: Job, attempt: Attempt, session: Session) -> None:
        """See that an attempt on one node finds the keep folder that it goes on from. May be repeated.

        Raises SetupFailed when that is neither here nor can be had.
        """
        source = self._source(job, attempt)
        if source is None:
            return
        at = attempt.nodes.index(session.name)
        worker = at if at < len(source.nodes) else 0
        there = str(source.id) if source.nodes[worker] == session.name else ""
        link = await session.link()
        asked: dict[str, Any] = {"attempt": str(attempt.id), "same": source.id.job == job.number}
        reply, _ = await link.call("keep.take", within=None, source=there, arrived=False, **asked)
        if reply["state"] != "missing":
            return
        await self._fill(source, worker)
        folder = self._place(source, worker)
        if folder.is_dir():
            async with session.side() as side:
                await deliver(side, reply["part"], _items(folder))
        await link.call("keep.take", within=None, source="", arrived=True, **asked)

    def _source(self, job: Job, attempt: Attempt) -> Attempt | None:
        ran = [a for a in job.attempts[: attempt.id.number - 1] if a.started_at is not None]
        if ran and resumes(job, attempt):
            return ran[-1]
        if job.task.continues:
            others = [a for a in self._job(job.task.continues).attempts if a.started_at is not None]
            return others[-1] if others else None
        return None

    async def _fill(self, source: Attempt, worker: int) -> None:
        """The mirror of a job that is not mirrored while it runs, or whose end we have not seen."""
        session = self._find(source.nodes[worker])
        if session is not None and session.up:
            await self.bring(source, worker, session)
        elif not self._place(source, worker).is_dir() and self._job(source.id.job).policy not in RESUMING:
            raise SetupFailed(
                f"the keep folder of job {source.id.job} cannot be had",
                why=f"it is on {source.nodes[worker]}, which does not answer",
            )

    async def _land(self, session: Session, landing: Landing, path: str, files: list[list[Any]]) -> None:
        async with session.side() as link, aclosing(link.stream("data.get", path=path, files=files)) as got:
            async for head, data in got:
                if head["on"] == "file":
                    landing.begin(head)
                elif head["on"] == "data":
                    landing.write(head["offset"], data)
                elif head["on"] == "sum" and not head["changed"]:
                    landing.finish(head["sum"], changed=False)

    def _drop(self, attempt: Attempt, worker: int, names: set[str]) -> None:
        """Remove here what this attempt had and has no more: an old checkpoint that its program removed."""
        key = (str(attempt.id), worker)
        for name in self._seen.get(key, set()) - names:
            (self._place(attempt, worker) / name).unlink(missing_ok=True)
        self._seen[key] = names

    def _place(self, attempt: Attempt, worker: int) -> Path:
        return self._folder / str(attempt.id.job) / f"w{worker}"


async def _items(folder: Path) -> AsyncIterator[Frame]:
    for path, status in _files(os.fsencode(folder)):
        name = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
        if stat.S_ISLNK(status.st_mode):
            yield {"on": "link", "path": name, "target": os.fsdecode(os.readlink(path))}, b""
            continue
        head = {"on": "file", "path": name, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "offset": 0}
        yield {**head, "mode": stat.S_IMODE(status.st_mode)}, b""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            total = blocks.Sum()
            for offset, data in blocks.blocks(descriptor, 0, status.st_size):
                total.add(offset, data)
                yield {"on": "data", "offset": offset}, data
        finally:
            os.close(descriptor)
        yield {"on": "sum", "sum": total.end(status.st_size)}, b""


def _files(folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(place, name)
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode) and not blocks.is_part(name):
                yield path, status
