"""Where files come in on our side: complete under their own name or not at all, outside of no folder, nothing lost.

A file grows under the name of its version and is gone on from after a cut. One that has the name already is moved aside
as `NAME.~1~`, or replaced where that is wished.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from afield.errors import AfieldError
from afield.runner import blocks

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PART = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Brought:
    """What came home: `files` and `bytes` now, `kept` were here already, `refused` would have left the folder.

    `closed` did not come because the node could not read it, each with why.
    `name` is that of the one file in `folder` that was asked for, "" for a folder.
    """

    folder: Path
    files: int = 0
    bytes: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    name: str = ""

    def add(self, other: Brought) -> None:
        """Count what another node gave."""
        self.files += other.files
        self.bytes += other.bytes
        self.kept += other.kept
        self.refused += other.refused
        self.closed += other.closed

    @property
    def shown(self) -> str:
        """The folder, or the one file that was named, as people see it from where they are."""
        place = self.folder / self.name
        return min(os.path.relpath(place), str(place), key=len) + ("" if self.name else "/")


class Landing:
    """Takes files one after the other. Raises OSError, and AfieldError `damaged` for one whose sum is another."""

    def __init__(self, brought: Brought, *, replace: bool = False) -> None:
        self._brought = brought
        self.replace = replace
        """Whether a file that has the next name gives way; may be set before each."""
        self._head: Mapping[str, Any] | None = None
        self._folder = -1
        self._file = -1
        self._name = b""
        self._part = b""
        self._sum = blocks.Sum()

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def begin(self, head: Mapping[str, Any]) -> None:
        """The next file: path, size, mtime_ns, mode, and the offset that its bytes begin at."""
        self._close()
        parts = os.fsencode(head["path"]).split(b"/")
        if not safe(parts):
            self._brought.refused.append(head["path"])
            return
        self._folder = _descend(self._brought.folder, parts[:-1])
        self._name = parts[-1]
        self._part = blocks.part_name(self._name, head["size"], head["mtime_ns"])
        self._file = _alone(self._part, self._folder)
        if _mark(self._name, self._folder) == (head["size"], head["mtime_ns"]):
            os.unlink(self._part, dir_fd=self._folder)
            self._close()
            self._brought.kept += 1
            return
        os.ftruncate(self._file, head["offset"])
        self._sum = blocks.prefix(self._file, head["offset"])
        self._head = head

    def write(self, offset: int, data: bytes) -> None:
        """A block of the file that was begun."""
        if self._file >= 0:
            self._sum.add(offset, data)
            view = memoryview(data)
            while view:
                written = os.pwrite(self._file, view, offset)
                view, offset = view[written:], offset + written
            self._brought.bytes += len(data)

    def finish(self, told: str, *, changed: bool) -> None:
        """Give the file its name. One that changed while it was read keeps our time, to be asked for again."""
        head = self._head
        if head is None:
            return
        os.ftruncate(self._file, head["size"])
        if self._sum.end(head["size"]) != told:
            os.unlink(self._part, dir_fd=self._folder)
            raise AfieldError(f"{head['path']} arrived damaged", why="its sum differs from the node's", code="damaged")
        os.fchmod(self._file, head["mode"] & 0o777 | 0o600)
        if not changed:
            os.utime(self._file, ns=(head["mtime_ns"], head["mtime_ns"]))
        self._give_name()
        self._close()

    def link(self, path: str, target: str) -> None:
        """A link, unless it would lead out of the folder."""
        self._close()
        parts = os.fsencode(path).split(b"/")
        if not safe(parts) or not inside(parts, os.fsencode(target)):
            self._brought.refused.append(path)
            return
        self._folder, self._name = _descend(self._brought.folder, parts[:-1]), parts[-1]
        if _link(self._folder, self._name) == os.fsencode(target):
            self._brought.kept += 1
            return
        self._part = blocks.part_name(self._name, 0, 0)
        with suppress(FileNotFoundError):
            os.unlink(self._part, dir_fd=self._folder)
        os.symlink(os.fsencode(target), self._part, dir_fd=self._folder)
        self._give_name()

    def make(self, path: str) -> None:
        """A folder, which may stay empty."""
        self._close()
        parts = os.fsencode(path).split(b"/")
        if safe(parts):
            self._folder = _descend(self._brought.folder, parts)

    def _give_name(self) -> None:
        if not self.replace or _is_folder(self._folder, self._name):
            _move_aside(self._folder, self._name)
        os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._brought.files += 1

    def _close(self) -> None:
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1
        self._head = None


class Here:
    """What lies in a folder: path to size and mtime in nanoseconds; None for what is no regular file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str) -> tuple[int, int] | None:
        """The file's size and time."""
        try:
            status = os.lstat(self._folder / path)
        except (OSError, ValueError):
            return None
        return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


class Sizes(Protocol):
    """Sizes and times by path."""

    def get(self, path: str, /) -> tuple[int, int] | None:
        """The file's size and time, where there is one."""


def safe(parts: list[bytes]) -> bool:
    """Whether a path stays in its folder: no empty part, no `.`, no `..`, so not absolute either."""
    return all(part not in (b"", b".", b"..") and b"\0" not in part for part in parts)


def inside(parts: list[bytes], target: bytes) -> bool:
    """Whether a link at `parts` leads to a place in the folder, whatever other links there are.

    `..` is taken only at the beginning, where real folders are left; a name before it may be a link itself.
    """
    words = [word for word in target.split(b"/") if word not in (b"", b".")]
    ups = next((i for i, word in enumerate(words) if word != b".."), len(words))
    return not target.startswith(b"/") and b"\0" not in target and ups < len(parts) and b".." not in words[ups:]


def offset_of(present: Sizes, path: str, size: int, mtime_ns: int) -> int:
    """Where the copy of this version of a file can be gone on from, given what lies where it goes."""
    place, _, name = path.rpartition("/")
    part = os.fsdecode(blocks.part_name(os.fsencode(name), size, mtime_ns))
    found = present.get(f"{place}/{part}" if place else part)
    return blocks.whole(min(found[0], size)) if found else 0


def _alone(part: bytes, folder: int) -> int:
    """The unfinished copy for us alone: another process that brings the same version is waited for."""
    while True:
        descriptor = os.open(part, _PART, 0o600, dir_fd=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            named = _status(part, folder)
            if named is not None and named.st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _status(name: bytes, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _mark(name: bytes, folder: int) -> tuple[int, int] | None:
    status = _status(name, folder)
    return (status.st_size, status.st_mtime_ns) if status is not None and stat.S_ISREG(status.st_mode) else None


def _descend(root: Path, parts: list[bytes]) -> int:
    """A descriptor of the folder, made where it is missing; what is in the way and no folder is moved aside."""
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            below = _enter(folder, part)
        finally:
            os.close(folder)
        folder = below
    return folder


def _enter(folder: int, part: bytes) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
    _move_aside(folder, part)
    os.mkdir(part, dir_fd=folder)
    return os.open(part, _FOLDER, dir_fd=folder)


def _move_aside(folder: int, name: bytes) -> None:
    """Free a name without losing what has it: `NAME.~1~` and so on."""
    if not _there(folder, name):
        return
    count = 1
    while _there(folder, aside := b"%s.~%d~" % (name, count)):
        count += 1
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)


def _link(folder: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _there(folder: int, name: bytes) -> bool:
    return _status(name, folder) is not None


def _is_folder(folder: int, name: bytes) -> bool:
    status = _status(name, folder)
    return status is not None and stat.S_ISDIR(status.st_mode)
