"""The line below the output of a job that `run` follows: how long it runs, how far it is, what the keys do.

It is drawn only where the cursor stands at the beginning of a line, and taken away before anything else is printed:
what the program writes scrolls by as it is.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from afield.cli import show
from afield.cli.grid import cut
from afield.errors import AfieldError

TICK_S = 1.0
ASK_S = 5.0
"""How far it is stands in a file on the node, which is asked for so often."""

KEYS = "Ctrl-C stop, d leave"

Progress = Mapping[str, Any]


class Pinned:
    """The line of one job.

    `progress` gives what the program said last of how far it is, or None. Within `quiet` nobody else prints, and `free`
    says then whether the cursor stands at the beginning of a line.
    """

    def __init__(
        self,
        progress: Callable[[], Progress | None],
        quiet: Callable[[], AbstractContextManager[None]],
        free: Callable[[], bool],
    ) -> None:
        self._ask = progress
        self._quiet = quiet
        self._free = free
        self._shown = False
        self._phase, self._started = "", 0.0
        self._said: Progress | None = None
        self._first: tuple[float, float] | None = None
        self._over: threading.Event | None = None

    def job(self, view: Mapping[str, Any]) -> None:
        """News of the job."""
        self._phase, self._started = view["phase"], show.moment(view["started_at"]) or 0.0
        if self._over is None and self._phase in ("running", "stopping"):
            self._over = threading.Event()
            threading.Thread(target=self._run, args=(self._over,), name="afield line", daemon=True).start()

    def close(self) -> None:
        """No line any more, until there is news again."""
        with self._quiet():
            if self._over is not None:
                self._over.set()
                self._over = None
            self.erase()

    def _run(self, over: threading.Event) -> None:
        asked = 0.0
        while not over.wait(TICK_S):
            if time.monotonic() - asked >= ASK_S and self._phase == "running":
                self._look()
                asked = time.monotonic()
            with self._quiet():
                if not over.is_set() and self._free():
                    self.erase()
                    self._draw()

    def _look(self) -> None:
        try:
            said = self._ask()
        except AfieldError:
            return  # its node does not answer: that is said elsewhere, and what was said last still stands
        if said is not None and self._first is None:
            self._first = (time.monotonic(), float(said["done"]))
        self._said = said

    def _draw(self) -> None:
        room = shutil.get_terminal_size().columns - 1
        text = text_of(self._phase, time.time() - self._started, self._said, self._rate())
        if text:
            line = cut(f"● {text} · {KEYS}", room)
            sys.stderr.write(show.paint(line, show.DIM, sys.stderr))
            sys.stderr.flush()
            self._shown = True

    def _rate(self) -> float:
        """Of the progress, how much a second since it was first seen; 0 is not known."""
        if self._first is None or self._said is None:
            return 0.0
        since, done = time.monotonic() - self._first[0], float(self._said["done"]) - self._first[1]
        return done / since if since > ASK_S / 2 else 0.0

    def erase(self) -> None:
        """Take the line away, while nobody else prints."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def text_of(phase: str, ran: float, said: Progress | None, rate: float) -> str:
    """What the line says of a job; "" for one that does not run."""
    if phase not in ("running", "stopping"):
        return ""
    parts = [f"{phase:<9} {show.duration(ran) if ran >= 60 else f'{int(ran)} s'}"]
    if said is not None:
        done, total = said["done"], said["total"]
        parts.append(f"{done:,g} of {total:,g}, {done / total:.0%}" if total else f"{done:,g}")
        if total and done < total and rate > 0:
            parts.append(f"about {show.duration((total - done) / rate)} left")
    return " · ".join(parts)


def wanted() -> bool:
    """Whether there is a terminal to draw the line on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
