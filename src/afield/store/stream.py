"""One mirrored stream: a file that only grows, and beside it the gaps, as lines of JSON.

A gap says that at `at` bytes of the file the bytes `from` to `to` of the node's file are missing; `to` may be smaller
than `from`, when the node's file shrank and is read again from its start. Between two gaps lies one piece of the node's
file without a break, so the last gap alone turns one offset into the other.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TypedDict

from afield.errors import StoreRefused
from afield.runner import points

TAIL = 64
"""Bytes before a cursor by which the node proves that its file is still the same one."""
SAID_EVERY = 16 << 20
"""Bytes left out over the cap until the gap is written down again."""

Gap = TypedDict("Gap", {"at": int, "from": int, "to": int, "why": str})


class Stream:
    """An open stream. `size` counts the bytes held here, `offset` those of the node's file that were taken in."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size
        self.gaps = _read_gaps(path + ".gaps", self.size)
        self._said = self.offset

    @property
    def offset(self) -> int:
        """The next offset in the node's file."""
        return self._told + self.size

    @property
    def tail(self) -> bytes:
        """The last bytes before `offset`, as far as they stand before it in the node's file too."""
        begin = max(self.size - TAIL, self.gaps[-1]["at"] if self.gaps else 0)
        return os.pread(self._file, self.size - begin, begin)

    @property
    def _told(self) -> int:
        return self.gaps[-1]["to"] - self.gaps[-1]["at"] if self.gaps else 0

    def append(self, offset: int, data: bytes | memoryview, cap: int | None) -> int:
        """Take in what is new of the bytes at `offset` of the node's file; how many bytes that was.

        Bytes held already are dropped, missing ones are a gap, those over the cap are left out. Raises StoreRefused.
        """
        view = memoryview(data)
        if offset + len(view) <= self.offset:
            return 0
        if offset > self.offset and (cap is None or self.size < cap):
            self.gap(self.offset, offset, "missing")
        view = view[max(0, self.offset - offset) :]
        room = len(view) if cap is None else max(0, min(len(view), cap - self.size))
        end = max(offset, self.offset) + len(view)
        self._write(view[:room])
        if end > self.offset:
            self._leave_out(end, f"over the cap of {cap} bytes")
        return room

    def gap(self, start: int, end: int, why: str) -> None:
        """Write down that the node's file goes on at `end` and not at `start`. Raises StoreRefused."""
        found: Gap = {"at": self.size, "from": start, "to": end, "why": why}
        if self.gaps and self.gaps[-1] == found:
            return
        with points.around("controller.gap"):
            self._say(found)
        self.gaps.append(found)

    def read(self, start: int, limit: int) -> bytes:
        """At most so many bytes from an offset here, never beyond the next gap."""
        end = next((g["at"] for g in self.gaps if g["at"] > start), self.size)
        return os.pread(self._file, max(0, min(limit, end - start)), start)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _leave_out(self, end: int, why: str) -> None:
        """Let the gap at the end of a full stream grow; written down now and then, as the node can send it again."""
        last = self.gaps[-1] if self.gaps else None
        if last is None or last["at"] != self.size or last["why"] != why:
            self.gap(self.offset, end, why)
            self._said = end
            return
        last["to"] = end
        if end - self._said >= SAID_EVERY:
            self._say(last)
            self._said = end

    def _write(self, view: memoryview) -> None:
        while view:
            try:
                with points.around("controller.output"):
                    done = os.write(self._file, view)
            except OSError as error:
                raise refused(self._path, error) from error
            self.size += done
            view = view[done:]

    def _say(self, gap: Gap) -> None:
        """Synced, and before the bytes behind it: without its gap a byte would stand for another one."""
        line = json.dumps(gap).encode() + b"\n"
        try:
            file = os.open(self._path + ".gaps", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(file).st_size
                if os.write(file, line) != len(line):
                    os.ftruncate(file, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise refused(self._path, error) from error


def refused(path: str, error: OSError) -> StoreRefused:
    """What the system said about a mirrored file."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = f"disk full: the output {path} cannot be kept" if full else f"the output {path} cannot be kept"
    hints = [f"free some space on the file system of {os.path.dirname(path)}"] if full else ["check the disk"]
    return StoreRefused(what, why=str(error.strerror), hints=hints)


def _read_gaps(path: str, size: int) -> list[Gap]:
    """The gaps that lie within the file; a later line about the same gap replaces the earlier one.

    A torn line, and a gap behind bytes that a power cut took, stand for nothing: the node still has those bytes. They
    are cut off, so that the file cannot grow into them.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found: list[Gap] = []
    for line in lines:
        gap = _parse(line)
        if gap is None or gap["at"] > size:
            _cut(path, found)
            break
        if found and (found[-1]["at"], found[-1]["from"], found[-1]["why"]) == (gap["at"], gap["from"], gap["why"]):
            found.pop()
        found.append(gap)
    return found


def _parse(line: bytes) -> Gap | None:
    try:
        told = json.loads(line)
        return {"at": int(told["at"]), "from": int(told["from"]), "to": int(told["to"]), "why": str(told["why"])}
    except (ValueError, KeyError, TypeError):
        return None


def _cut(path: str, gaps: list[Gap]) -> None:
    with open(path + ".new", "wb") as file:
        file.writelines(json.dumps(gap).encode() + b"\n" for gap in gaps)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)
