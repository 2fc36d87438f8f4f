"""The shadow repository of one workspace: git's objects, read and written without git.

It is a plain bare repository that git itself can read. Few new objects are written loose, many into one pack. Contents
are compressed once, when they are taken; a send passes the packed bytes on.
"""

from __future__ import annotations

import os
import struct
import zlib
from _thread import get_ident
from collections.abc import Iterator
from dataclasses import dataclass

from afield.errors import NotFound
from afield.runner import gittree

Name = bytes
"""An object's hash, 20 bytes."""

FASTEST = 1
SAMPLE = 4 * 1024
STEP = 1024 * 1024
_NUMBER = struct.Struct(">I")
_FANOUT = 8
_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"


def level_for(data: bytes) -> int:
    """How hard to compress: not at all when a sample from the middle shows that it does not pay."""
    if len(data) <= SAMPLE * 4:
        return FASTEST
    sample = data[len(data) // 2 :][:SAMPLE]
    return FASTEST if len(zlib.compress(sample, FASTEST)) < len(sample) * 0.9 else 0


@dataclass(frozen=True, slots=True)
class Slice:
    """Where an object's zlib stream lies in a pack; `size` is of the content."""

    path: str
    offset: int
    length: int
    size: int

    def pieces(self) -> Iterator[bytes]:
        """The zlib stream in pieces."""
        with open(self.path, "rb", buffering=0) as file:
            at, end = self.offset, self.offset + self.length
            while at < end:
                data = os.pread(file.fileno(), min(STEP, end - at), at)
                if not data:
                    raise NotFound("a snapshot is damaged", why=f"{self.path} is too short", code="snapshot-damaged")
                at += len(data)
                yield data


class _Pack:
    """The index of one pack: which objects it has, where each begins and ends."""

    def __init__(self, path: str) -> None:
        self.path = path[: -len("idx")] + "pack"
        with open(path, "rb") as file:
            self._data = file.read()
        self.count: int = _NUMBER.unpack_from(self._data, _FANOUT + 255 * 4)[0]
        self._ends: dict[int, int] = {}

    def names(self) -> list[Name]:
        """All objects, sorted."""
        begin = _FANOUT + 1024
        return [self._data[at : at + 20] for at in range(begin, begin + self.count * 20, 20)]

    def find(self, name: Name) -> int | None:
        """The number of an object in this pack."""
        low = _NUMBER.unpack_from(self._data, _FANOUT + name[0] * 4 - 4)[0] if name[0] else 0
        high = _NUMBER.unpack_from(self._data, _FANOUT + name[0] * 4)[0]
        while low < high:
            middle = (low + high) // 2
            at = _FANOUT + 1024 + middle * 20
            found = self._data[at : at + 20]
            if found == name:
                return int(middle)
            low, high = (middle + 1, high) if found < name else (low, middle)
        return None

    def _place(self, number: int) -> tuple[int, int]:
        at = _FANOUT + 1024 + self.count * 24
        if not self._ends:
            order = sorted(struct.unpack_from(f">{self.count}I", self._data, at))
            self._ends = dict(zip(order, [*order[1:], os.stat(self.path).st_size - 20], strict=True))
        begin = _NUMBER.unpack_from(self._data, at + number * 4)[0]
        return begin, self._ends[begin]

    def slice(self, number: int) -> Slice:
        """Where the object's content lies."""
        begin, end = self._place(number)
        with open(self.path, "rb", buffering=0) as file:
            head = os.pread(file.fileno(), 16, begin)
        size, shift, at = head[0] & 15, 4, 1
        while head[at - 1] & 0x80:
            size |= (head[at] & 0x7F) << shift
            shift += 7
            at += 1
        return Slice(self.path, begin + at, end - begin - at, size)


class Objects:
    """Reads objects of a shadow repository; makes the repository when it is not there."""

    def __init__(self, cache: str | os.PathLike[str], workspace: str) -> None:
        self.path = os.path.join(os.path.abspath(cache), "shadow", workspace + ".git")
        self._packs: dict[str, _Pack] = {}
        self._pack_folder = os.path.join(self.path, "objects", "pack")
        if not os.path.exists(os.path.join(self.path, "HEAD")):
            self._make()

    def has(self, name: Name) -> bool:
        """Whether the object is here."""
        if os.path.exists(self.loose(name)) or any(pack.find(name) is not None for pack in self._packs.values()):
            return True
        return self._look() and self.has(name)

    def names(self) -> set[Name]:
        """All objects that are here."""
        self._look()
        found = {name for pack in self._packs.values() for name in pack.names()}
        objects = os.path.join(self.path, "objects")
        for folder in os.listdir(objects):
            if len(folder) == 2:
                rest = [name for name in os.listdir(os.path.join(objects, folder)) if len(name) == 38]
                found.update(bytes.fromhex(folder + name) for name in rest)
        return found

    def loose(self, name: Name) -> str:
        """Where an object lies when it has a file of its own."""
        text = name.hex()
        return os.path.join(self.path, "objects", text[:2], text[2:])

    def content(self, name: Name) -> bytes:
        """A whole object. Raises NotFound `snapshot-missing`."""
        place = self._in_pack(name)
        try:
            if place is not None:
                return zlib.decompress(b"".join(place.pieces()))
            with open(self.loose(name), "rb") as file:
                return zlib.decompress(file.read()).partition(b"\0")[2]
        except FileNotFoundError:
            raise self._missing(name) from None
        except zlib.error as error:
            raise NotFound("a snapshot is damaged", why=f"{name.hex()}: {error}", code="snapshot-damaged") from error

    def packed(self, name: Name) -> tuple[int, int, Iterator[bytes]]:
        """(size, packed size, zlib stream in pieces) of an object's content. Raises NotFound `snapshot-missing`."""
        place = self._in_pack(name)
        if place is not None:
            return place.size, place.length, place.pieces()
        data = self.content(name)
        stream = zlib.compress(data, level_for(data))
        return len(data), len(stream), iter((stream,))

    def tree(self, hash_: str) -> StoredTree:
        """A snapshot's tree. Raises NotFound `snapshot-missing` when it is not here."""
        if not self.has_tree(hash_):
            raise self._missing(bytes.fromhex(hash_))
        return StoredTree(self, bytes.fromhex(hash_))

    def has_tree(self, hash_: str) -> bool:
        """Whether a snapshot is here."""
        name = bytes.fromhex(hash_)
        return name == gittree.EMPTY or self.has(name)

    def _in_pack(self, name: Name) -> Slice | None:
        for pack in self._packs.values():
            if (number := pack.find(name)) is not None:
                return pack.slice(number)
        return self._in_pack(name) if self._look() else None

    def _look(self) -> bool:
        new = [n for n in os.listdir(self._pack_folder) if n.endswith(".idx") and n not in self._packs]
        for name in new:
            self._packs[name] = _Pack(os.path.join(self._pack_folder, name))
        return bool(new)

    def _missing(self, name: Name) -> NotFound:
        return NotFound(
            "this snapshot is not here",
            why=f"{name.hex()} is not in {self.path}",
            hints=["was the cache folder removed? Run the job again from your workspace"],
            code="snapshot-missing",
        )

    def _make(self) -> None:
        for folder in ("objects/pack", "refs", "info"):
            os.makedirs(os.path.join(self.path, folder), mode=0o700, exist_ok=True)
        for name, data in (("config", _CONFIG), ("HEAD", b"ref: refs/heads/main\n")):
            replace(os.path.join(self.path, name), data)


class StoredTree:
    """One tree in the repository, as gittree.differences and gittree.files read it."""

    def __init__(self, objects: Objects, name: Name) -> None:
        self._objects = objects
        self.top = (gittree.FOLDER, name)

    def raw(self, _path: bytes, name: Name) -> bytes:
        """A tree object."""
        return b"" if name == gittree.EMPTY else self._objects.content(name)


def beside(path: str) -> str:
    """A temporary name beside a path that no other process and no other thread uses."""
    return f"{path}.{os.getpid()}.{get_ident()}.part"


def replace(path: str, data: bytes) -> None:
    """Put a whole file in place at once."""
    part = beside(path)
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)
