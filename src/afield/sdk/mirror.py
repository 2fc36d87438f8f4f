"""Keeps a folder of a node as one is here: what `run` would send of it arrives, what goes away here goes away there.

Only what a mirror brought is removed, and only inside its place: their names are kept here, in the state folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afield.errors import UsageError
from afield.folders import Folders
from afield.sdk.client import Client
from afield.sdk.meter import Meter
from afield.sdk.push import BITS, Item, Pushed, Source, push
from afield.snapshot.take import look
from afield.transport.landing import inside

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in the folder now. Equal ones mean that nothing has changed; `left_out` are links that lead out of it."""

    items: tuple[tuple[bytes, int, int, int, bytes | None], ...]
    left_out: tuple[str, ...] = ()

    def source(self, top: Path) -> Source:
        """It as a source of a copy."""
        items = []
        for name, *_, target in self.items:
            try:
                items.append(Item(name, os.lstat(os.path.join(os.fsencode(top), name)), target))
            except FileNotFoundError:
                continue  # the next look sees that it is gone
        return Source(os.fsencode(top), b"", folder=True, items=items)


def see(folder: Path) -> Seen:
    """The files and links of a folder that `afield run` would send. Raises UsageError when they cannot be listed."""
    items: list[tuple[bytes, int, int, int, bytes | None]] = []
    left_out = []
    for text in look(folder, cache=Path(Folders().cache)).names:
        name = os.fsencode(text)
        path = os.path.join(os.fsencode(folder), name)
        try:
            status = os.lstat(path)
            target = os.readlink(path) if os.path.islink(path) else None
        except FileNotFoundError:
            continue
        if target is not None and not inside(name.split(b"/"), target):
            left_out.append(text)
        else:
            items.append((name, status.st_size, status.st_mtime_ns, status.st_mode & BITS, target))
    return Seen(tuple(items), tuple(left_out))


class Mirror:
    """One folder here and one place of a node, which `client.places` gave. Raises UsageError for a home folder."""

    def __init__(self, client: Client, folder: Path, place: View) -> None:
        self.node = str(place["node"])
        self._client = client
        self._folder = folder
        self._place = place
        self._refuse_home()
        self._refuse_itself()
        what = "\0".join((self.node, place["path"], str(folder)))
        name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._file = Path(Folders().state, "mirrors", f"{name}.json")

    def bring(self, seen: Seen, meter: Meter) -> tuple[Pushed, int]:
        """Make it there as it was seen here: what was brought, and how many files went. Raises Unreachable."""
        names = [os.fsdecode(name) for name, *_ in seen.items]
        before = self._brought()
        gone = sorted(set(before) - set(names))
        self._remember([*before, *names])
        if gone:
            heads = ({"on": "remove", "path": name} for name in gone)
            self._client.put(self.node, self._place["path"], ((head, b"") for head in heads))
        pushed = push(self._client, [seen.source(self._folder)], self._place, "", meter)
        self._remember(names)
        return pushed, len(gone)

    def _refuse_home(self) -> None:
        asked = {"nodes": [self.node], "area": "", "path": "~", "tools": False}
        home, path = self._client.places(asked)[0].get("path", "/"), self._place["path"]
        if path == "/" or home == path or home.startswith(path.rstrip("/") + "/"):
            raise UsageError(
                f"{path} on {self.node} is a home folder, or holds one",
                why="what a mirror removes must not be near anything else",
                hints=[f"afield sync . {self.node}:~/NAME", f"afield sync . {self.node}:NAME"],
            )

    def _refuse_itself(self) -> None:
        """On this machine a folder in itself would grow with each look."""
        here, there = f"{self._folder}/", f"{self._place['path']}/"
        if self.node == "local" and (here.startswith(there) or there.startswith(here)):
            raise UsageError(f"{self._place['path']} and {self._folder} lie in each other")

    def _brought(self) -> list[str]:
        try:
            return [str(name) for name in json.loads(self._file.read_text("utf-8"))["names"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def _remember(self, names: Sequence[str]) -> None:
        """Written before anything is brought: a name too many is looked for there and not found."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._file.with_suffix(f".{os.getpid()}")
        told = {"node": self.node, "place": self._place["path"], "folder": str(self._folder)}
        part.write_text(json.dumps({**told, "names": sorted(set(names))}), "utf-8")
        part.replace(self._file)
