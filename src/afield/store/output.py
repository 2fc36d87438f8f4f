"""Output bytes on our side: every stream of an attempt mirrored into a file, as it comes from the nodes.

    FOLDER/3.1/p0.out           the bytes        FOLDER/3.1/p0.out.gaps      what is missing among them

Streams are named as in the run folder: `p0/out`, `stage.setup@box1/err`. Offsets here and offsets in the node's file
are the same as long as nothing is missing. Nothing is synced until `sync`: until the end is acknowledged the node has
the bytes.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from pathlib import Path
from threading import RLock

from afield.errors import NotFound
from afield.store.stream import Gap, Stream, refused

OPEN_FILES = 128

_ATTEMPT = re.compile(r"[0-9]{1,15}\.[0-9]{1,9}")
_STREAM = re.compile(r"([^/\0.][^/\0]{0,180})/(out|err)")


class Mirror:
    """The mirrored streams in a folder. `cap` is the most bytes that are kept of one stream. Any thread."""

    def __init__(self, folder: str | Path, *, cap: int | None = None) -> None:
        self._folder = os.path.abspath(folder)
        self._cap = cap
        self._open: OrderedDict[str, Stream] = OrderedDict()
        self._lock = RLock()

    def beside(self, name: str) -> Path:
        """A folder for something else of the same store."""
        return Path(self._folder).parent / name

    def append(self, attempt: str, stream: str, offset: int, data: bytes | memoryview) -> int:
        """Take in bytes that stand at `offset` of the node's file; how many of them were new and are kept now.

        Raises StoreRefused when the disk is full; what was taken in stays and the cursor tells it.
        """
        with self._lock:
            return self._stream(attempt, stream).append(offset, data, self._cap)

    def gap(self, attempt: str, stream: str, start: int, end: int, why: str) -> None:
        """Mark that the node's file goes on at `end` and not at `start`: it shrank, or its bytes are others."""
        with self._lock:
            self._stream(attempt, stream).gap(start, end, why)

    def cursor(self, attempt: str, stream: str) -> tuple[int, bytes]:
        """Where to go on reading the node's file, and at most 64 bytes that stand before it there."""
        with self._lock:
            found = self._find(attempt, stream)
            return (found.offset, found.tail) if found else (0, b"")

    def size(self, attempt: str, stream: str) -> int:
        """Bytes held here."""
        with self._lock:
            found = self._find(attempt, stream)
            return found.size if found else 0

    def read(self, attempt: str, stream: str, start: int, limit: int) -> tuple[bytes, int]:
        """At most `limit` bytes from an offset here, and the offset behind them. A chunk has no gap inside."""
        with self._lock:
            found = self._find(attempt, stream)
            data = found.read(start, limit) if found else b""
        return data, start + len(data)

    def gaps(self, attempt: str, stream: str) -> list[Gap]:
        """What is missing, in order; `at` is an offset here, `from` and `to` are offsets in the node's file."""
        with self._lock:
            found = self._find(attempt, stream)
            return [g.copy() for g in found.gaps] if found else []

    def streams(self, attempt: str) -> list[str]:
        """The streams of an attempt that hold something or had a gap; a process's output before its errors.

        Who reads both only afterwards sees the traceback last, where it nearly always belongs.
        """
        try:
            names = os.listdir(self._attempt(attempt))
        except FileNotFoundError:
            return []
        found = [(head, end) for head, _, end in (n.rpartition(".") for n in names) if end in ("out", "err")]
        return [f"{head}/{end}" for head, end in sorted(found, key=lambda one: (one[0], one[1] != "out"))]

    def sync(self, attempt: str) -> None:
        """Make all that was taken in of an attempt durable; to be called before its end is acknowledged."""
        folder = self._attempt(attempt)
        try:
            for path in [*(os.path.join(folder, n) for n in os.listdir(folder)), folder, self._folder]:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused(folder, error) from error

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _find(self, attempt: str, stream: str) -> Stream | None:
        path = self._path(attempt, stream)
        return self._stream(attempt, stream) if path in self._open or os.path.exists(path) else None

    def _stream(self, attempt: str, stream: str) -> Stream:
        path = self._path(attempt, stream)
        found = self._open.get(path)
        if found is None:
            try:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                found = self._open[path] = Stream(path)
            except OSError as error:
                raise refused(path, error) from error
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return found

    def _attempt(self, attempt: str) -> str:
        if not _ATTEMPT.fullmatch(attempt):
            raise NotFound(f"{attempt!r} is no attempt")
        return os.path.join(self._folder, attempt)

    def _path(self, attempt: str, stream: str) -> str:
        named = _STREAM.fullmatch(stream)
        if named is None:
            raise NotFound(f"{stream!r} is no stream", hints=["streams look like p0/out"])
        return os.path.join(self._attempt(attempt), f"{named[1]}.{named[2]}")
