"""The last lines of the job that is selected, kept up to date by a thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from afield.cli.terminal import Filter
from afield.cli.top.feed import AGAIN_S, Source
from afield.errors import AfieldError

BYTES = 1 << 16
LINES = 1000
POLL_S = 0.5
"""Output is no event: bytes of a running job are asked for so often."""


@dataclass(slots=True)
class Lines:
    """Lines of a job in the order in which they came; what follows the last line feed of a stream comes last."""

    prefixed: bool = False
    whole: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _open: dict[str, str] = field(default_factory=dict)
    _filters: dict[str, Filter] = field(default_factory=dict)

    def feed(self, key: str, rank: int, data: bytes, *, middle: bool = False) -> None:
        """Take in bytes of a stream; `middle`: they begin in the middle of a line, of which nothing is shown."""
        if middle:
            data = data.partition(b"\n")[2]
        text = self._open.pop(key, "") + self._filters.setdefault(key, Filter()).feed(data)
        *lines, rest = text.split("\n")
        mark = f"{rank}│ " if self.prefixed else ""
        self.whole.extend(mark + _last_state(line) for line in lines)
        if rest:
            self._open[key] = rest

    def all(self) -> list[str]:
        """What there is to show; colours are escapes."""
        return [*self.whole, *(_last_state(text) for text in self._open.values())]


def _last_state(line: str) -> str:
    """What a terminal would show of a line that was written over."""
    return line.removesuffix("\r").rpartition("\r")[2].replace("\x1b[K", "").expandtabs()


class Tail:
    """Follows one job at a time; `tell` gets its number and lines, in a thread."""

    def __init__(self, source: Source, tell: Callable[[int, list[str]], None]) -> None:
        self._source = source
        self._tell = tell
        self._wanted = 0
        self._changed = threading.Event()
        self._closed = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="afield top log", daemon=True).start()

    def show(self, number: int) -> None:
        """Another job, 0 for none."""
        if number != self._wanted:
            self._wanted = number
            self._changed.set()

    def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        self._changed.set()

    def _run(self) -> None:
        while not self._closed:
            self._changed.clear()
            number = self._wanted
            if number and not self._closed:
                self._follow(number)
            self._changed.wait()

    def _follow(self, number: int) -> None:
        """Until it has ended or another one is wanted."""
        lines = Lines()
        cursors: dict[str, int] = {}
        told: list[str] | None = None
        over = False
        while not over and self._wanted == number and not self._closed:
            try:
                over = self._more(number, lines, cursors)
            except AfieldError:
                time.sleep(AGAIN_S)
                continue
            now = lines.all()
            if now != told and self._wanted == number and not self._closed:
                told = now
                self._tell(number, now)
            if not over:
                self._changed.wait(POLL_S)

    def _more(self, number: int, lines: Lines, cursors: dict[str, int]) -> bool:
        """Take in what came; whether the job has ended and no more is coming."""
        begun = set(cursors)
        over = False
        for head, data in self._source.follow(number, cursors, stay=False, tail=BYTES):
            if head["on"] in ("job", "end"):
                lines.prefixed = head["job"]["processes"] > 1
                over = head["job"]["outcome"] is not None and not head["job"]["silent"]
            elif head["on"] == "out" and head["rank"] is not None:
                middle = head["key"] not in begun and head["cursor"] - len(data) > 0
                begun.add(head["key"])
                lines.feed(f"{head['rank']}/{head['stream']}", head["rank"], data, middle=middle)
        return over
