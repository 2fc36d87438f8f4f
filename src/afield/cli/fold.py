"""Lines of several processes on their way to one terminal: whole, marked with who wrote them, equal ones as one line.

Every line goes out once, marked with all processes whose line it stands for, and the lines of one process keep their
order: from what is shown each process's own output can be told. Only the order between processes gives way.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from itertools import islice

PATIENCE_S = 0.3
"""How long a line waits for the same line of the other processes, where somebody watches."""

HELD = 16 * 1024 * 1024
"""So many bytes may wait; beyond them the oldest line goes out as it is."""

AHEAD = 200
"""So many lines of another process go out before theirs, for a line that it shares."""

_COLOURS = re.compile(rb"\x1b\[[0-9;:]*[mK]")


def matches(pattern: re.Pattern[bytes], line: bytes) -> bool:
    """Whether a line fits, without its end and whatever its colours."""
    return pattern.search(_COLOURS.sub(b"", line).rstrip(b"\r\n")) is not None


def spans(numbers: Iterable[int], letter: str) -> str:
    """Numbers as people write them: w0-3,w7 for 0, 1, 2, 3 and 7."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join(f"{letter}{'-'.join(map(str, part))}" for part in parts)


class Fold:
    """The lines of one stream (output or errors) of all processes. `mark` gives what stands before a line.

    `processes` says how many there are: a line that all of them hold waits no longer.
    """

    def __init__(self, mark: Callable[[Collection[int]], bytes], processes: int, patience_s: float | None) -> None:
        self._mark = mark
        self._processes = processes
        self._patience = patience_s
        self._queues: dict[int, deque[tuple[bytes, float]]] = {}
        self._holders: dict[bytes, Counter[int]] = {}
        self._held = 0

    def add(self, rank: int, lines: Iterable[bytes], now: float) -> None:
        """Whole lines of one process."""
        queue = self._queues.setdefault(rank, deque())
        for line in lines:
            queue.append((line, now))
            self._holders.setdefault(line, Counter())[rank] += 1
            self._held += len(line)

    def ready(self, now: float) -> bytes:
        """What goes out now: lines that all processes hold, and those that have waited long enough."""
        out: list[bytes] = []
        while (oldest := self._oldest()) is not None:
            line, since = self._queues[oldest][0]
            waits = self._patience is None or now - since < self._patience
            if waits and len(self._holders[line]) < self._processes and self._held <= HELD:
                break
            self._release(oldest, out)
        return b"".join(out)

    def rest(self) -> bytes:
        """Everything."""
        out: list[bytes] = []
        while (oldest := self._oldest()) is not None:
            self._release(oldest, out)
        return b"".join(out)

    def _oldest(self) -> int | None:
        return min(
            (r for r, queue in self._queues.items() if queue), key=lambda r: (self._queues[r][0][1], r), default=None
        )

    def _release(self, rank: int, out: list[bytes]) -> None:
        """The first line of a process, with those who hold it too brought up to it."""
        line = self._queues[rank][0][0]
        for other in sorted(self._holders[line]):
            place = self._place(other, line)
            for _ in range(place or 0):
                self._heads(self._queues[other][0][0], out)
        self._heads(line, out)

    def _place(self, rank: int, line: bytes) -> int | None:
        """How many lines of a process come before its next one of this kind; None when these are too many."""
        ahead = islice(self._queues[rank], AHEAD)
        return next((number for number, (held, _) in enumerate(ahead) if held == line), None)

    def _heads(self, line: bytes, out: list[bytes]) -> None:
        """A line goes out for all whose next one it is."""
        who = [r for r in self._holders[line] if self._queues[r][0][0] == line]
        for rank in who:
            self._queues[rank].popleft()
            self._held -= len(line)
            self._holders[line][rank] -= 1
            if not self._holders[line][rank]:
                del self._holders[line][rank]
        if not self._holders[line]:
            del self._holders[line]
        out.append(self._mark(sorted(who)) + line)
