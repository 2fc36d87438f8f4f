"""What of a job's output is shown, and how: which processes, which lines, marked and folded where they are several."""

from __future__ import annotations

import functools
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import click

from afield.cli import show
from afield.cli.fold import PATIENCE_S, Fold, matches, spans
from afield.cli.terminal import Filter, Lines
from afield.errors import UsageError

View = Mapping[str, Any]

TAIL = 400
"""So many of the last bytes of each stream are kept for the table at the end of a job."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown: of these processes (None: all), of one stream ("": both), lines that fit, folded (None: on a
    terminal)."""

    ranks: frozenset[int] | None = None
    only: str = ""
    grep: re.Pattern[bytes] | None = None
    fold: bool | None = None
    raw: bool = False
    stay: bool = True

    def check(self, processes: int) -> None:
        """Raises UsageError when it names a process that the job does not have."""
        beyond = [str(rank) for rank in sorted(self.ranks or ()) if rank >= processes]
        if beyond:
            workers = "0" if processes == 1 else f"0 to {processes - 1}"
            raise UsageError(f"there is no worker {', '.join(beyond)}", why=f"the job's are {workers}")

    def takes(self, head: Mapping[str, Any]) -> bool:
        """Whether what a frame brings is wanted."""
        return (self.ranks is None or head["rank"] in self.ranks) and self.only in ("", head["stream"])


def stream_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options that say what is shown; it gets them as `choice`."""

    @functools.wraps(function)
    def command(stream: str, grep: str | None, fold: bool | None, **rest: Any) -> Any:
        return function(choice=chosen(stream, grep, fold), **rest)

    for option in (
        click.option("--fold/--no-fold", default=None, help="Equal lines of several workers as one: on a terminal."),
        click.option("--grep", metavar="REGEX", help="Show only lines that fit; all are stored."),
        click.option("--stream", default="all", metavar="N,…|all", help="Show only these workers, or out, or err."),
    ):
        command = option(command)
    return command


def chosen(stream: str, grep: str | None, fold: bool | None) -> Choice:
    """The options as a choice. Raises UsageError."""
    ranks: set[int] = set()
    only = ""
    for word in filter(None, stream.split(",")):
        if word in ("out", "err"):
            only = "" if only not in ("", word) else word
        elif word.isdecimal() and word.isascii():
            ranks.add(int(word))
        elif word != "all":
            raise UsageError(
                f"{word!r} is no worker and no stream", hints=["--stream 0,3", "--stream all", "--stream err"]
            )
    return Choice(frozenset(ranks) or None, only, _pattern(grep), fold)


def _pattern(text: str | None) -> re.Pattern[bytes] | None:
    if text is None:
        return None
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise UsageError(
            f"--grep {text!r} cannot be read", why=str(error), hints=["a regular expression of Python"]
        ) from error


def letter(view: View) -> str:
    """What names a process: "w", its worker, where each worker runs one; else "p" and its rank."""
    return "w" if view["processes"] == len(view["nodes"]) else "p"


@dataclass(slots=True)
class Output:
    """Writes the bytes of one job's processes; `before` is called each time that something will be written."""

    choice: Choice
    before: Callable[[], None]
    view: View = field(default_factory=dict)
    open_line: bool = False
    _filters: dict[str, Filter] = field(default_factory=dict)
    _lines: dict[str, Lines] = field(default_factory=dict)
    _folds: dict[str, Fold] = field(default_factory=dict)
    _tails: dict[tuple[int, str], bytes] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def frame(self, head: Mapping[str, Any], data: bytes) -> None:
        """Bytes of one stream of one process."""
        rank, stream = head["rank"], head["stream"]
        self._tails[rank, stream] = (self._tails.get((rank, stream), b"") + data)[-TAIL:]
        if not self.choice.takes(head):
            return
        key = f"{rank}/{stream}"
        if self._marked or self.choice.grep is not None:
            self._pass(rank, stream, self._lines.setdefault(key, Lines()).whole(data))
        else:
            self._write(stream, key, data)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Within the block nothing is written beside the caller."""
        with self._lock:
            yield

    def turn(self) -> None:
        """Write what has waited long enough for its like."""
        with self._lock:
            for stream, fold in self._folds.items():
                self._write(stream, stream, fold.ready(time.monotonic()))

    @contextmanager
    def turning(self) -> Iterator[None]:
        """Within the block `turn` comes by itself, where there is something to wait for."""
        if not (self.choice.stay and self._folding):
            yield
            return
        over = threading.Event()

        def turn() -> None:
            with suppress(BrokenPipeError):  # the caller meets it too, at the next line or at the end
                while not over.wait(PATIENCE_S / 2):
                    self.turn()

        thread = threading.Thread(target=turn, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def close(self) -> None:
        """Write all that waited: for the end of its line, for its like, for the rest of a character."""
        with self._lock:
            for key, lines in self._lines.items():
                rank, _, stream = key.partition("/")
                self._pass(int(rank), stream, lines.last())
            for stream, fold in self._folds.items():
                self._write(stream, stream, fold.rest())
            for key, filtered in self._filters.items():
                _to(key.rpartition("/")[2]).write(filtered.feed(b"", final=True))
            for to in (sys.stdout, sys.stderr):
                to.flush()

    def last_line(self, rank: int) -> str:
        """The last that a process wrote: of its errors where it wrote some."""
        for stream in ("err", "out"):
            lines = self._tails.get((rank, stream), b"").strip().splitlines()
            if lines:
                return lines[-1].strip().decode("utf-8", "replace")
        return ""

    @property
    def _marked(self) -> bool:
        several = int(self.view.get("processes", 1)) > 1
        return several and (self.choice.ranks is None or len(self.choice.ranks) > 1)

    @property
    def _folding(self) -> bool:
        wanted = self.choice.fold
        return self._marked and (sys.stdout.isatty() and not self.choice.raw if wanted is None else wanted)

    def _pass(self, rank: int, stream: str, lines: list[bytes]) -> None:
        if self.choice.grep is not None:
            lines = [line for line in lines if matches(self.choice.grep, line)]
        if not self._folding:
            self._write(stream, f"{rank}/{stream}", b"".join(self._mark([rank], stream) + line for line in lines))
            return
        with self._lock:
            if stream not in self._folds:
                self._folds[stream] = self._fold(stream)
            self._folds[stream].add(rank, lines, time.monotonic())
            self.turn()

    def _fold(self, stream: str) -> Fold:
        count = len(self.choice.ranks) if self.choice.ranks is not None else self.view["processes"]
        return Fold(functools.partial(self._mark, stream=stream), count, PATIENCE_S if self.choice.stay else None)

    def _mark(self, ranks: Collection[int], stream: str) -> bytes:
        if not self._marked:
            return b""
        mark = show.paint(f"[{spans(ranks, letter(self.view))}]", show.CYAN, _to(stream))
        return f"{mark} ".encode()

    def _write(self, stream: str, key: str, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            self.before()
            to = _to(stream)
            if self.choice.raw or not to.isatty():
                to.buffer.write(data)
                to.flush()
                return
            to.write(self._filters.setdefault(key, Filter()).feed(data))
            to.flush()
            self.open_line = not data.endswith(b"\n")


def _to(stream: str) -> TextIO:
    return sys.stderr if stream == "err" else sys.stdout
