"""What the last take of a workspace saw: names, their stat, their tree. A cache: damaged or old means taken anew."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass

from afield.runner import gittree
from afield.snapshot.listing import Listing
from afield.snapshot.objects import Objects, replace

Seen = tuple[int, int, int, int, int]
"""mtime_ns, ctime_ns, inode, size, mode of a file: the same five mean the same bytes."""

GONE: Seen = (0, 0, 0, 0, 0)
"""No such file."""

HIDDEN: Seen = (0, 0, 0, 0, -2)
"""A file whose stat is refused: reading it will say why."""

NEVER: Seen = (0, 0, 0, 0, -1)
"""A file that no take has seen."""

INODE = 0x7FFF_FFFF_FFFF_FFFF
"""What we keep of an inode's number."""

FORMAT = 1
RACE_NS = 50_000_000
"""A file that changed so shortly before it was read could change again without a new time."""

_SEEN = struct.Struct(">5q")
_LENGTH = struct.Struct(">Q")
_FILE = "afield-state"


@dataclass(frozen=True, slots=True)
class State:
    """One take. `seen` has the stat of each name of the listing, in its order."""

    listing: Listing
    seen: list[Seen]
    tree: gittree.Tree

    def save(self, objects: Objects, place: str = "") -> None:
        """Keep it for the next take; `place` tells apart the folders that one repository keeps."""
        listing = self.listing
        head = json.dumps(
            {
                "format": FORMAT,
                "key": listing.key.hex(),
                "folders": [os.fsdecode(name) for name in listing.folders],
                "skipped": listing.skipped,
            }
        ).encode("ascii")
        names = b"\0".join(listing.names)
        seen = b"".join([_SEEN.pack(*row) for row in self.seen])
        parts = [_LENGTH.pack(len(part)) + part for part in (head, names, seen)]
        replace(_file(objects, place), b"".join(parts) + self.tree.dump())


def distrusted(seen: Seen) -> Seen:
    """A stat that equals no file's: the file is read again. Turns one made so back."""
    return (*seen[:4], -seen[4])


def _file(objects: Objects, place: str) -> str:
    return os.path.join(objects.path, f"{_FILE}.{place}" if place else _FILE)


def load(objects: Objects, place: str = "") -> State | None:
    """The last take; None when there was none that can be used."""
    try:
        with open(_file(objects, place), "rb") as file:
            data = file.read()
        parts, at = [], 0
        for _ in range(3):
            (length,) = _LENGTH.unpack_from(data, at)
            parts.append(data[at + 8 : at + 8 + length])
            at += 8 + length
        head = json.loads(parts[0])
        tree = gittree.load(data[at:])
        names = parts[1].split(b"\0") if parts[1] else []
        seen: list[Seen] = list(_SEEN.iter_unpack(parts[2]))
    except (OSError, ValueError, struct.error):
        return None
    if head["format"] != FORMAT or len(seen) != len(names) or not objects.has_tree(tree.hash):
        return None
    folders = tuple(os.fsencode(name) for name in head["folders"])
    skipped = tuple((name, why) for name, why in head["skipped"])
    return State(Listing(names, bytes.fromhex(head["key"]), folders, skipped), seen, tree)
