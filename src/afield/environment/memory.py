"""What files import, kept from one command to the next: a file whose stat is as it was is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Found = list[tuple[str, tuple[str, ...], int, int]]

_FORMAT = 1
_FRESH_NS = 100_000_000
"""A file that changed so recently may change again within one tick of the file system's clock."""


class Memory:
    """The imports of files below `root`; `cache` is the folder where they are kept, "" for none.

    `dirs` are folders elsewhere that stand at its top under these names. A damaged or unwritable cache is as good as
    none.
    """

    def __init__(self, root: str, cache: str = "", dirs: Mapping[str, Path] | None = None) -> None:
        self._root = os.path.realpath(root)
        self.dirs = {name: os.path.realpath(place) for name, place in (dirs or {}).items()}
        name = hashlib.sha256(os.fsencode(self._root)).hexdigest()[:16]
        self._path = os.path.join(cache, f"imports-{name}.json") if cache else ""
        self._known: dict[str, list[Any]] = load(self._path, _FORMAT)
        self._changed = False

    def of_text(self, text: str) -> Found:
        """The imports of a program given as text; none when it is no Python."""
        return self._parsed(text.encode("utf-8", "surrogateescape")) or []

    def of_file(self, name: str) -> Found | None:
        """The imports of a file; None when it cannot be read as Python or lies outside the workspace."""
        first, _, rest = name.partition("/")
        top = self.dirs.get(first, self._root)
        path = os.path.join(top, rest if first in self.dirs else name)
        try:
            if not os.path.realpath(path).startswith(top + "/"):
                return None
            stat = os.stat(path)
            mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            known = self._known.get(name)
            if known and known[0] == mark:
                return None if known[1] is None else [(m, tuple(n), at, w) for m, n, at, w in known[1]]
            with open(path, "rb") as file:
                found = self._parsed(file.read())
        except OSError:
            return None
        if time.time_ns() - stat.st_ctime_ns > _FRESH_NS:
            self._known[name] = [mark, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed and self._path:
            keep(self._path, self._known, _FORMAT)

    @staticmethod
    def _parsed(source: bytes) -> Found | None:
        from afield.environment.code import imports  # noqa: PLC0415 what was read before needs no parser

        try:
            return [(found.module, found.names, found.line, int(found.weight)) for found in imports(source)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def load(path: str, form: int) -> dict[str, Any]:
    """What `keep` wrote there; empty when it is missing, damaged or of another form."""
    try:
        with open(path, "rb") as file:
            data = json.load(file)
    except (OSError, ValueError):
        return {}
    found = data.get("kept") if isinstance(data, dict) and data.get("form") == form else None
    return found if isinstance(found, dict) else {}


def keep(path: str, kept: dict[str, Any], form: int) -> None:
    """Write a table for the next command, whole or not at all; a cache that cannot be written is done without."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
            json.dump({"form": form, "kept": kept}, file)
        os.replace(f"{path}.{os.getpid()}", path)
    except (OSError, ValueError):
        return
