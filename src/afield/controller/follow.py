"""Followers of a job: the same stream of news and bytes for terminal, SDK and browser, resumable from cursors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from afield.controller.watch import Watch
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.runner import wire
from afield.store.stream import Gap

Frame = tuple[dict[str, Any], bytes]


class News:
    """Wakes whoever waits for news of a job; a wake-up may be early, never missing."""

    def __init__(self) -> None:
        self._waiting: dict[JobNumber, set[asyncio.Event]] = {}

    def tell(self, job: JobNumber) -> None:
        """Something changed."""
        for event in self._waiting.get(job, ()):
            event.set()

    @contextmanager
    def listening(self, job: JobNumber) -> Iterator[asyncio.Event]:
        """An event that is set at each change while the block runs."""
        event = asyncio.Event()
        self._waiting.setdefault(job, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[job].discard(event)
            if not self._waiting[job]:
                del self._waiting[job]

    @property
    def followed(self) -> list[JobNumber]:
        """The jobs that somebody follows."""
        return list(self._waiting)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a follower asks for: cursors by stream, whether it stays until the end, and where to begin without a cursor.

    `tail`: at most so many of the last bytes of each stream; None is all of it.
    """

    cursors: dict[str, int]
    stay: bool = True
    tail: int | None = None


@dataclass(slots=True)
class _Seen:
    cursors: dict[str, int]
    tail: int | None = None
    job: Job | None = None
    view: dict[str, Any] | None = None
    stages: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a follower reads: the job now, how it looks to people, the mirror, and whether a node answers."""

    job: Callable[[JobNumber], Job]
    view: Callable[[Job], dict[str, Any]]
    watch: Watch
    answers: Callable[[NodeName], bool]


async def follow(sources: Sources, news: News, number: JobNumber, wanted: Wanted) -> AsyncIterator[Frame]:
    """Frames of one job until it has ended and every byte is out; with `stay` off, what there is now."""
    seen = _Seen(dict(wanted.cursors), wanted.tail)
    busy = False
    with news.listening(number) as changed:
        while True:
            changed.clear()
            job = sources.job(number)
            stages = tuple(sources.watch.stages(job.last.id)) if job.last else ()
            if not busy or job is not seen.job or stages != seen.stages:
                for frame in _news(sources, job, seen):
                    yield frame
            busy = False
            for frame in _output(sources, job, seen):
                busy = True
                yield frame
            if busy:
                continue
            over = job.decided is not None and all(sources.watch.complete(a, sources.answers) for a in job.attempts)
            if over or not wanted.stay:
                yield {"on": "end", "job": sources.view(sources.job(number))}, b""
                return
            await changed.wait()


def _news(sources: Sources, job: Job, seen: _Seen) -> Iterator[Frame]:
    seen.job = job
    view = sources.view(job)
    if view != seen.view:
        seen.view = view
        yield {"on": "job", "job": view}, b""
    if job.last is None:
        return
    stages = tuple(sources.watch.stages(job.last.id))
    if stages != seen.stages:
        for stage in stages:
            if stage not in seen.stages:
                yield {"on": "stage", "attempt": str(job.last.id), **asdict(stage)}, b""
        seen.stages = stages


def _output(sources: Sources, job: Job, seen: _Seen) -> Iterator[Frame]:
    mirror = sources.watch.mirror
    for attempt in job.attempts:
        for stream in mirror.streams(str(attempt.id)):
            key = f"{attempt.id}/{stream}"
            if key not in seen.cursors:
                size = mirror.size(str(attempt.id), stream)
                seen.cursors[key] = 0 if seen.tail is None else max(0, size - seen.tail)
            at = seen.cursors[key]
            data, after = mirror.read(str(attempt.id), stream, at, wire.CHUNK)
            if not data:
                continue
            seen.cursors[key] = after
            gaps = [g for g in mirror.gaps(str(attempt.id), stream) if at <= g["at"] < after]
            yield _chunk(str(attempt.id), stream, after, gaps), data


def _chunk(attempt: str, stream: str, cursor: int, gaps: list[Gap]) -> dict[str, Any]:
    folder, _, end = stream.rpartition("/")
    head: dict[str, Any] = {
        "on": "out",
        "attempt": attempt,
        "rank": int(folder[1:]) if folder.startswith("p") else None,
        "stage": None if folder.startswith("p") else folder.removeprefix("stage."),
        "stream": end,
        "key": f"{attempt}/{stream}",
        "cursor": cursor,
    }
    if gaps:
        head["gaps"] = gaps
    return head
