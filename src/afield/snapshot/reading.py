"""Reads changed files of a workspace: bytes, hash, link checks. A file that changes meanwhile fails the take."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from afield.errors import UsageError
from afield.runner import gittree
from afield.snapshot.objects import STEP, Name, level_for
from afield.snapshot.state import INODE, Seen

LARGE = 16 * 1024 * 1024
"""Larger files do not go through memory whole."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Read:
    """One file or link as read. A large file has no `data`: it is read again when it is written."""

    name: bytes
    seen: Seen
    entry: tuple[bytes, Name]
    data: bytes | None
    stream: bytes | None = None


def seen_of(found: os.stat_result) -> Seen:
    """The five numbers that say whether a file is still the same."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino & INODE, found.st_size, found.st_mode


def read(root: bytes, name: bytes, known: Container[Name] | None = None) -> Read | OSError | None:
    """A file or link with its hash; None when it is gone or no file, the error when it cannot be read.

    With `known`, the content comes compressed too, unless its hash is in there.

    Raises UsageError `changed-while-read`.
    """
    path = os.path.join(root, name)
    try:
        if stat.S_ISLNK((found := os.lstat(path)).st_mode):
            return _link(path, name, found)
        descriptor = os.open(path, _OPEN)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error
    try:
        return _file(descriptor, name, known)
    except OSError as error:
        return error
    finally:
        os.close(descriptor)


def pieces(root: bytes, name: bytes, seen: Seen) -> Iterator[bytes]:
    """A large file again. Raises UsageError `changed-while-read`."""
    descriptor = os.open(os.path.join(root, name), _OPEN)
    try:
        yield from _pieces(descriptor, name, seen)
    finally:
        os.close(descriptor)


def check_links(root: bytes, links: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises UsageError `link-leaves` that names all links (name, target) which lead out of the tree."""
    top = os.path.realpath(root)
    leaving = [link for link in links if _leaves(top, *link)]
    if leaving:
        shown = [f"{_text(name)} -> {_text(target)}" for name, target in leaving[:20]]
        more = [f"and {len(leaving) - 20} more"] if len(leaving) > 20 else []
        raise UsageError(
            "links leave the workspace: " + ", ".join(shown + more),
            why="on a node they would lead to something else or nowhere",
            hints=["name them in .afieldignore", "replace a link by what it points to"],
            code="link-leaves",
        )


def _leaves(top: bytes, name: bytes, target: bytes) -> bool:
    if not target or target.startswith(b"/"):
        return True
    # By the letters of the path first, then by what lies there: a link on the way may lead elsewhere.
    reached = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if reached == b".." or reached.startswith(b"../"):
        return True
    real = os.path.realpath(os.path.join(top, name))
    return real != top and not real.startswith(top + b"/")


def _link(path: bytes, name: bytes, found: os.stat_result) -> Read:
    target = os.readlink(path)
    return Read(name, seen_of(found), (gittree.LINK, gittree.name_of(b"blob", target)), target)


def _file(descriptor: int, name: bytes, known: Container[Name] | None) -> Read | None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return None
    seen = seen_of(found)
    mode = gittree.PROGRAM if found.st_mode & 0o100 else gittree.FILE
    if found.st_size > LARGE:
        digest = gittree.hasher(b"blob", found.st_size)
        for data in _pieces(descriptor, name, seen):
            digest.update(data)
        return Read(name, seen, (mode, digest.digest()), None)
    data = b"".join(_pieces(descriptor, name, seen))
    hashed = gittree.name_of(b"blob", data)
    stream = zlib.compress(data, level_for(data)) if known is not None and hashed not in known else None
    return Read(name, seen, (mode, hashed), data, stream)


def _pieces(descriptor: int, name: bytes, seen: Seen) -> Iterator[bytes]:
    left = seen[3]
    while left > 0 and (data := os.read(descriptor, min(left, STEP))):
        left -= len(data)
        yield data
    if left or seen_of(os.fstat(descriptor)) != seen:
        raise UsageError(
            f"{_text(name)} changed while it was read",
            why="a snapshot of half an edit is worse than none",
            hints=["try again", "a file that is always written to, such as a log, belongs into .afieldignore"],
            code="changed-while-read",
        )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
