"""Puts new objects into a shadow repository: a file each for the few that an edit makes, one pack for many.

Objects count once `close` has returned; until then they have temporary names. What counts is synced to the disk.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from afield.snapshot.objects import STEP, Name, Objects, beside, level_for

PACK_LIMIT = 1 << 30
"""A pack takes no further object from here on, so that all offsets fit into 31 bits."""

_KINDS = {b"tree": 2, b"blob": 3}


class Writer(Protocol):
    """Takes new objects."""

    def add(self, kind: bytes, name: Name, data: bytes, stream: bytes | None = None) -> None:
        """One object; `stream` is the content compressed, when that was done already."""

    def add_large(self, kind: bytes, name: Name, size: int, pieces: Iterable[bytes]) -> None:
        """One object whose content comes in pieces."""

    def close(self) -> None:
        """Make all of it count."""

    def abandon(self) -> None:
        """Remove what does not count."""


class Loose:
    """Each object in a file of its own."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._parts: list[tuple[str, str]] = []

    def add(self, kind: bytes, name: Name, data: bytes, stream: bytes | None = None) -> None:
        """One object."""
        self.add_large(kind, name, len(data), (data,))

    def add_large(self, kind: bytes, name: Name, size: int, pieces: Iterable[bytes]) -> None:
        """One object whose content comes in pieces."""
        path = self._objects.loose(name)
        part = beside(path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(part, "wb") as file:
            self._parts.append((part, path))
            for data in _compressed(pieces, b"%s %d\0" % (kind, size)):
                file.write(data)
            file.flush()
            os.fdatasync(file.fileno())

    def close(self) -> None:
        """Blobs came before the trees that name them, and count first."""
        for part, path in self._parts:
            os.replace(part, path)
        self._parts.clear()

    def abandon(self) -> None:
        """Remove what does not count."""
        for part, _ in self._parts:
            os.unlink(part)
        self._parts.clear()


class Pack:
    """All objects in one pack; in several when they are very large."""

    def __init__(self, objects: Objects) -> None:
        self._folder = os.path.join(objects.path, "objects", "pack")
        self._begin()

    def add(self, kind: bytes, name: Name, data: bytes, stream: bytes | None = None) -> None:
        """One object; `stream` is the content compressed, when that was done already."""
        if stream is None:
            stream = zlib.compress(data, level_for(data))
        self._put(kind, name, len(data), (stream,))

    def add_large(self, kind: bytes, name: Name, size: int, pieces: Iterable[bytes]) -> None:
        """One object whose content comes in pieces."""
        self._put(kind, name, size, _compressed(pieces))

    def close(self) -> None:
        """Make all of it count."""
        if self._places:
            self._finish()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Remove what does not count."""
        self._file.close()
        os.unlink(self._part)

    def _begin(self) -> None:
        self._part = beside(os.path.join(self._folder, "tmp"))
        self._file = open(self._part, "w+b", buffering=STEP)  # noqa: SIM115 lives as long as the writer
        self._file.write(b"PACK" + struct.pack(">II", 2, 0))
        self._at = 12
        self._places: list[tuple[Name, int, int]] = []

    def _put(self, kind: bytes, name: Name, size: int, stream: Iterable[bytes]) -> None:
        if self._at > PACK_LIMIT:
            self._finish()
            self._begin()
        start, crc = self._at, 0
        for data in _with(kind, size, stream):
            crc = zlib.crc32(data, crc)
            self._at += self._file.write(data)
        self._places.append((name, start, crc))

    def _finish(self) -> None:
        self._file.seek(8)
        self._file.write(struct.pack(">I", len(self._places)))
        self._file.seek(0)
        digest = hashlib.sha1(usedforsecurity=False)
        while data := self._file.read(STEP):
            digest.update(data)
        self._file.write(digest.digest())
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._file.close()
        path = os.path.join(self._folder, f"pack-{digest.hexdigest()}")
        os.replace(self._part, path + ".pack")
        self._write_index(path + ".idx", digest.digest())

    def _write_index(self, path: str, pack: bytes) -> None:
        places = sorted(self._places)
        names = [name for name, _, _ in places]
        counts = [0] * 256
        for name in names:
            counts[name[0]] += 1
        for i in range(1, 256):
            counts[i] += counts[i - 1]
        data = b"".join(
            (
                b"\xfftOc" + struct.pack(">I", 2),
                struct.pack(">256I", *counts),
                *names,
                struct.pack(f">{len(places)}I", *(crc for _, _, crc in places)),
                struct.pack(f">{len(places)}I", *(offset for _, offset, _ in places)),
                pack,
            )
        )
        part = beside(path)
        with open(part, "wb", buffering=0) as file:
            file.write(data + hashlib.sha1(data, usedforsecurity=False).digest())
            os.fdatasync(file.fileno())
        os.replace(part, path)


def _with(kind: bytes, size: int, stream: Iterable[bytes]) -> Iterator[bytes]:
    yield _object_head(_KINDS[kind], size)
    yield from stream


def _object_head(kind: int, size: int) -> bytes:
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head)


def _compressed(pieces: Iterable[bytes], head: bytes = b"") -> Iterator[bytes]:
    packer = None
    for data in pieces:
        if packer is None:
            packer = zlib.compressobj(level_for(data))
            yield packer.compress(head)
        yield packer.compress(data)
    if packer is None:
        packer = zlib.compressobj(0)
        yield packer.compress(head)
    yield packer.flush()
