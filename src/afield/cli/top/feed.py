"""What the screen shows, kept up to date by two threads: one hears of changes, one fetches what is there now.

Both are daemons that the end of the program does not wait for: they only read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from afield.cli.jobs import of_now
from afield.errors import AfieldError

View = dict[str, Any]

FRAME_S = 0.25
"""The screen is drawn at most so often, for the sake of slow lines."""

OFTEN_S = 5.0
"""What is no event, such as how long a node has been silent, is asked for so often."""

AGAIN_S = 1.0
LIMIT, MOST = 200, 10_000
"""So many of the newest jobs, and of the unfinished ones that are older."""


class Source(Protocol):
    """The part of the client that the screen needs. Everything raises AfieldError."""

    def hello(self) -> View:
        """Who answers, with the newest cursor."""

    def overview(self) -> View:
        """The nodes."""

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[View]:
        """The unfinished jobs, or all; newest first."""

    def events(self, since: int = 0) -> Generator[View, None, None]:
        """The log after a cursor, then live."""

    def follow(
        self, number: int, cursors: dict[str, int] | None = None, *, stay: bool = True, tail: int | None = None
    ) -> Iterator[tuple[View, bytes]]:
        """News and output of a job."""

    def why(self, number: int) -> View:
        """Why a job is where it is."""

    def stop(self, number: int) -> View:
        """Wish a job stopped."""

    def rerun(self, number: int) -> View:
        """Submit a job again as a new one."""

    def job_shell(self, number: int) -> View:
        """The command that gives a person a shell beside a job."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was there at a moment: nodes by name, jobs that run first."""

    nodes: tuple[View, ...] = ()
    jobs: tuple[View, ...] = ()


class Feed:
    """Tells a look after each change, or the error that keeps it from looking. `tell` is called in a thread."""

    def __init__(
        self, source: Source, tell: Callable[[Look | AfieldError], None], now: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._tell = tell
        self._now = now
        self._changed = threading.Event()
        self._closed = False

    def start(self) -> None:
        """Begin to look."""
        for work in (self._listen, self._look):
            threading.Thread(target=work, name="afield top", daemon=True).start()

    def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        self._changed.set()

    def _listen(self) -> None:
        while not self._closed:
            try:
                with closing(self._source.events(int(self._source.hello()["seq"]))) as events:
                    self._changed.set()
                    for _ in events:
                        self._changed.set()
            except AfieldError:
                time.sleep(AGAIN_S)  # the other thread meets the same and says so

    def _look(self) -> None:
        while not self._closed:
            begun = time.monotonic()
            try:
                told: Look | AfieldError = look(self._source, self._now())
            except AfieldError as error:
                told = error
            if not self._closed:
                self._tell(told)
            time.sleep(max(FRAME_S, time.monotonic() - begun))
            self._changed.wait(AGAIN_S if isinstance(told, AfieldError) else OFTEN_S)
            self._changed.clear()


def look(source: Source, now: float) -> Look:
    """What is there now."""
    found = source.jobs(all=True, limit=LIMIT)
    more = len(found) == LIMIT and int(found[-1]["number"]) > 1
    nodes = sorted(source.overview()["nodes"], key=lambda node: str(node["name"]))
    jobs = of_now(source, found, MOST if more else 0, now)
    return Look(tuple(nodes), tuple(sorted(jobs, key=_place)))


def _place(job: View) -> int:
    """What runs comes first, then what waits, then what is over; each newest first as it comes."""
    return 2 if job["outcome"] is not None else 1 if job["phase"] == "queued" else 0
