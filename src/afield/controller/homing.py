"""Outputs that come home by themselves: each file when it is finished, while the job runs and after it, asleep or not.

An attempt is not acknowledged before its outputs are home, so that a controller that was away, or killed, goes on with
it. What came is noted beside the store: a file that was brought before and is as it was then gives way to a newer one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afield.controller.keeps import QUIET_S, Keeps
from afield.controller.session import Session
from afield.errors import AfieldError, Unreachable, in_words
from afield.model.attempt import Attempt, State
from afield.model.ids import AttemptId, NodeName
from afield.model.job import Job
from afield.model.world import World
from afield.transport.landing import Brought, Here, Landing, offset_of

log = logging.getLogger(__name__)

PACE_S = 1.0

Row = list[Any]


@dataclass(slots=True)
class _Trip:
    """What is known of one attempt's outputs: `marks` is path here to [size, mtime_ns] of what was brought.

    `failed` is what kept them from coming the last time; `trouble`, what does so again and again.
    """

    marks: dict[str, list[int]] = field(default_factory=dict)
    failed: str = ""
    trouble: str = ""
    over: bool = False

    def tried(self, failed: str = "", *, passes: bool = False) -> None:
        """They were tried; `passes` says of what kept them from coming that it ends by itself, as a cut link does."""
        self.trouble = failed if failed == self.failed and not passes else ""
        self.failed = failed


class Homing:
    """Brings outputs to `outputs/JOB/` in their workspaces. `find` gives a node's session."""

    def __init__(self, folder: Path, world: World, find: Callable[[NodeName], Session | None], keeps: Keeps) -> None:
        self._folder = folder
        self._world = world
        self._find = find
        self._keeps = keeps
        self.wake: Callable[[], None] = _nothing
        """Called when all that an attempt left is here."""
        self._trips: dict[AttemptId, _Trip] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="homing")

    def look(self) -> None:
        """There may be something to bring now."""
        self._changed.set()

    async def close(self) -> None:
        """Stop; the next controller goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def coming(self, job: Job) -> bool:
        """Whether outputs of an attempt that has ended are still on their way."""
        last = job.last
        return last is not None and not last.live and not last.acked and not self.over(job, last)

    def told(self, job: Job) -> dict[str, Any]:
        """What a view of a job says of its outputs: whether they are still `coming`, and the `trouble` with that."""
        last = job.last
        coming = self.coming(job)
        return {"coming": coming, "trouble": self._trip(last.id).trouble if last is not None and coming else ""}

    def over(self, job: Job, attempt: Attempt) -> bool:
        """Whether nothing of an ended attempt is still to come by itself."""
        return not self._wanted(job, attempt) or self._trip(attempt.id).over

    def forget(self, attempt: AttemptId) -> None:
        """The attempt is acknowledged: no note is needed any more."""
        self._trips.pop(attempt, None)
        with suppress(OSError):
            self._note(attempt).unlink(missing_ok=True)

    def _wanted(self, job: Job, attempt: Attempt) -> bool:
        """Whether anything of an attempt comes by itself: a program may have run, and it was asked for."""
        began = attempt.started_at is not None or attempt.state in (State.RUNNING, State.STOPPING)
        return began and (bool(job.task.collects and job.task.code) or self._keeps.mirrored(attempt))

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            jobs = list(self._world.jobs.values())
            wanted = [(j, a) for j in jobs for a in j.attempts if not a.acked and not self.over(j, a)]
            for job, attempt in wanted:
                await self._look(job, attempt)
            if wanted:
                await asyncio.sleep(PACE_S)
            else:
                await self._changed.wait()

    async def _look(self, job: Job, attempt: Attempt) -> None:
        trip, ended = self._trip(attempt.id), not attempt.live
        try:
            reached = [await self._node(job, attempt, worker, trip) for worker in range(len(attempt.nodes))]
        except (AfieldError, OSError) as error:
            why = in_words(error)
            if trip.failed != why:
                log.warning("outputs of %s: %s", attempt.id, why)
            trip.tried(why, passes=isinstance(error, Unreachable))
            return
        except Exception:
            # A bug must not hold an ended job for ever: its files stay on the node for `afield pull`.
            log.exception("outputs of %s", attempt.id)
            reached = [True]
        trip.tried()
        if ended and all(reached):
            trip.over = True
            self.wake()

    async def _node(self, job: Job, attempt: Attempt, worker: int, trip: _Trip) -> bool:
        """Bring what one node has finished; whether it could be asked."""
        session = self._find(attempt.nodes[worker])
        if session is None:
            return True
        if not session.up:
            return False
        if self._keeps.mirrored(attempt):
            await self._keeps.bring(attempt, worker, session)
        if job.task.collects:
            await self._outputs(job, attempt, session, trip)
        return True

    async def _outputs(self, job: Job, attempt: Attempt, session: Session, trip: _Trip) -> None:
        code = job.task.code
        if code is None or not Path(code.root).is_dir():
            return
        worker = attempt.nodes.index(session.name)
        prefix = f"w{worker}/" if len(attempt.nodes) > 1 else ""
        inside = f"src/{code.folder}".rstrip("/")
        for path, patterns in (("outputs", []), (inside, list(job.task.collects))):
            asked: dict[str, Any] = {"area": "job", "attempt": str(attempt.id), "path": path, "patterns": patterns}
            link = await session.link_now()
            try:
                found, _ = await link.call("data.ready", quiet_s=QUIET_S, over=not attempt.live, **asked)
            except AfieldError as error:
                if error.code == "not-found":
                    continue
                raise
            home = Path(code.root) / "outputs" / str(job.number)
            await self._bring(session, found, _Goal(home, prefix, trip, self._note(attempt.id)))

    async def _bring(self, session: Session, found: Mapping[str, Any], goal: _Goal) -> None:
        rows = [row for row in found["entries"] if row[6] and not goal.has(row)]
        if not rows:
            return
        with Landing(Brought(goal.folder)) as landing:
            for row in rows:
                if row[1] == "link":
                    await asyncio.to_thread(goal.link, landing, row)
            files = [[row[0], goal.offset(row)] for row in rows if row[1] == "file"]
            if not files:
                return
            async with (
                session.side() as link,
                aclosing(link.stream("data.get", path=found["path"], files=files)) as got,
            ):
                async for head, data in got:
                    await asyncio.to_thread(goal.take, landing, head, data)

    def _trip(self, attempt: AttemptId) -> _Trip:
        if attempt not in self._trips:
            trip = self._trips[attempt] = _Trip()
            with suppress(OSError, ValueError):
                trip.marks = json.loads(self._note(attempt).read_text())
        return self._trips[attempt]

    def _note(self, attempt: AttemptId) -> Path:
        return self._folder / f"{attempt}.json"


@dataclass(slots=True)
class _Goal:
    """Where one node's files go, and the note of what came."""

    folder: Path
    prefix: str
    trip: _Trip
    note: Path
    _coming: tuple[str, list[int]] = field(default_factory=lambda: ("", []))

    def name(self, path: str) -> str:
        return self.prefix + path

    def has(self, row: Row) -> bool:
        """Whether this version was brought before, even if a person moved it away since, or lies here."""
        mark = [row[2], row[3]]
        here = Here(self.folder).get(self.name(row[0]))
        return self.trip.marks.get(self.name(row[0])) == mark or (here is not None and list(here) == mark)

    def offset(self, row: Row) -> int:
        return offset_of(Here(self.folder), self.name(row[0]), row[2], row[3])

    def link(self, landing: Landing, row: Row) -> None:
        """One link. Raises OSError."""
        landing.link(self.name(row[0]), row[5])
        self._remember(self.name(row[0]), [row[2], row[3]])

    def take(self, landing: Landing, head: Mapping[str, Any], data: bytes) -> None:
        """One reply of the node. Raises OSError, AfieldError."""
        if head["on"] == "file":
            name = self.name(head["path"])
            before = Here(self.folder).get(name)
            landing.replace = before is not None and self.trip.marks.get(name) == list(before)
            landing.begin({**head, "path": name})
            self._coming = (name, [head["size"], head["mtime_ns"]])
        elif head["on"] == "data":
            landing.write(head["offset"], data)
        elif head["on"] == "sum" and not head["changed"]:
            landing.finish(head["sum"], changed=False)
            self._remember(*self._coming)

    def _remember(self, name: str, mark: list[int]) -> None:
        self.trip.marks[name] = mark
        self.note.parent.mkdir(mode=0o700, exist_ok=True)
        part = self.note.with_suffix(".part")
        part.write_text(json.dumps(self.trip.marks))
        part.replace(self.note)


def _nothing() -> None:
    return None
