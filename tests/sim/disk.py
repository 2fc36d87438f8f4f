"""The disk of a simulated node: what programs see, what a power cut leaves, kernel locks, news of changes.

Two trees of names are kept: the one that is seen, and the one that is on the platter. A file's bytes are safe once
they were synced, a name once its folder was. A power cut takes each unsafe thing or leaves it, as the dice fall.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Any

from afield.runner import inotify


class Folder:
    """Stands in a listing for a folder below."""

    __slots__ = ()


FOLDER = Folder()


class File:
    """`synced` are the bytes that are safe; None when none ever were. `holders` are processes with its lock open."""

    __slots__ = ("data", "handle", "synced")

    def __init__(self) -> None:
        self.data = b""
        self.synced: bytes | None = None
        self.handle: Handle | None = None


class Handle:
    """One open lock: held by all processes that have it open."""

    __slots__ = ("file", "holders", "path")

    def __init__(self, file: File, path: str) -> None:
        self.file = file
        self.path = path
        self.holders: set[Any] = set()

    def leave(self, process: Any) -> None:
        """A process closes it, or ends."""
        self.holders.discard(process)
        if not self.holders and self.file.handle is self:
            self.file.handle = None


Names = dict[str, Any]


class Disk:
    """Files and folders by path. `room` is how many bytes are free; None for plenty."""

    def __init__(self) -> None:
        self.seen: dict[str, Names] = {"": {}}
        self.kept: dict[str, Names] = {"": {}}
        self.room: int | None = None
        self.refused = 0
        self.ears: dict[str, list[Callable[[str, int, str], None]]] = {}

    # ---- looking

    def file(self, path: str) -> File | None:
        """The file at a path."""
        folder, _, name = path.rpartition("/")
        names = self.seen.get(folder)
        found = names.get(name) if names is not None else None
        return found if isinstance(found, File) else None

    def size(self, path: str) -> int | None:
        """What look.Disk gives."""
        found = self.file(path)
        if found is not None:
            return len(found.data)
        return 4096 if path in self.seen else None

    def listing(self, path: str) -> list[str] | None:
        """The sorted names in a folder."""
        names = self.seen.get(path)
        return None if names is None else sorted(names)

    def names(self, path: str) -> list[str]:
        """What look.Disk gives."""
        return self.listing(path) or []

    def piece(self, path: str, begin: int, length: int) -> bytes | None:
        """What look.Disk gives."""
        found = self.file(path)
        return None if found is None else bytes(found.data[begin : begin + length])

    # ---- changing

    def mkdir(self, path: str, synced: bool) -> None:
        """A folder and its parents."""
        if path in self.seen:
            return
        above, _, name = path.rpartition("/")
        if above not in self.seen:
            self.mkdir(above, synced)
        self._spend(256)
        self.seen[path] = {}
        self.seen[above][name] = FOLDER
        self._tell(above, inotify.CREATE, name)
        if synced:
            self.sync_folder(above)

    def touch(self, path: str) -> File:
        """The file at a path, made when it is not there. Raises OSError."""
        found = self.file(path)
        if found is not None:
            return found
        folder, _, name = path.rpartition("/")
        names = self.seen.get(folder)
        if names is None:
            raise OSError(errno.ENOENT, "no such folder", path)
        self._spend(64)
        found = names[name] = File()
        self._tell(folder, inotify.CREATE, name)
        return found

    def fill(self, path: str, data: bytes) -> File:
        """Puts other bytes into a file, unsynced. Raises OSError; a part may be written then."""
        found = self.touch(path)
        self.give_back(len(found.data))
        found.data = b""
        try:
            self._spend(len(data))
        except OSError:
            found.data = self._part(data)
            raise
        found.data = data
        self._changed(path)
        return found

    def append(self, path: str, data: bytes) -> int:
        """Adds bytes at the end, unsynced; how many there was room for."""
        found = self.touch(path)
        if self.room is not None and self.room < len(data):
            data = self._part(data)
        self._spend(len(data))
        found.data += data
        if data:
            self._changed(path)
        return len(data)

    def rename(self, old: str, new: str) -> None:
        """A file takes the place of another."""
        folder, _, name = old.rpartition("/")
        target, _, fresh = new.rpartition("/")
        if target not in self.seen or name not in self.seen.get(folder, ()):
            raise OSError(errno.ENOENT, "no such file or folder", old)
        self.seen[target][fresh] = self.seen[folder].pop(name)
        self._tell(target, inotify.MOVED_TO, fresh)

    def unlink(self, path: str) -> None:
        """Removes a file if it is there."""
        folder, _, name = path.rpartition("/")
        found = self.file(path)
        if found is not None:
            self.give_back(len(found.data))
            del self.seen[folder][name]
            self._tell(folder, inotify.DELETE, name)

    def remove(self, path: str) -> None:
        """A folder and all in it, for good."""
        above, _, name = path.rpartition("/")
        for tree in (self.seen, self.kept):
            tree.get(above, {}).pop(name, None)
            for inside in [p for p in tree if p == path or p.startswith(path + "/")]:
                del tree[inside]

    def sync(self, file: File) -> None:
        """The file's bytes are safe."""
        file.synced = file.data

    def sync_folder(self, path: str) -> None:
        """The folder's names are safe."""
        if path in self.seen:
            self.kept[path] = dict(self.seen[path])

    def give_back(self, size: int) -> None:
        """Space is free again."""
        if self.room is not None:
            self.room += size

    # ---- locks

    @staticmethod
    def take(path: str, found: File, process: Any) -> Handle | None:
        """The lock of an open file, or None while somebody has it."""
        if found.handle is not None:
            return None
        handle = found.handle = Handle(found, path)
        handle.holders.add(process)
        return handle

    def peek(self, path: str) -> str:
        """What effects.Peek gives."""
        found = self.file(path)
        if found is None:
            return "none"
        return "free" if found.handle is None else "held"

    # ---- trouble

    def power_cut(self, dice: random.Random) -> None:
        """What is left after it."""
        after: dict[str, Names] = {}
        todo = [""]
        while todo:
            path = todo.pop()
            names = after[path] = self._mixed(self.kept.get(path, {}), self.seen.get(path, {}), dice)
            todo += [f"{path}/{name}" for name, value in names.items() if value is FOLDER]
        for names in after.values():
            for file in names.values():
                if isinstance(file, File):
                    file.handle = None
                    if file.synced is not file.data:
                        file.data = _torn(file, dice)
                    file.synced = file.data
        self.seen = after
        self.kept = {path: dict(names) for path, names in after.items()}
        self.ears.clear()

    @staticmethod
    def _mixed(kept: Names, seen: Names, dice: random.Random) -> Names:
        if kept == seen:
            return dict(seen)
        found: Names = {}
        for name in sorted({*kept, *seen}):
            value = seen.get(name) if dice.random() < 0.5 else kept.get(name)
            if value is not None:
                found[name] = value
        return found

    def _part(self, data: bytes) -> bytes:
        self.refused += 1
        part = data[: max(0, self.room or 0)]
        self.room = 0
        return part

    def _spend(self, size: int) -> None:
        if self.room is None:
            return
        if self.room < size:
            self.refused += 1
            raise OSError(errno.ENOSPC, "no space left on device")
        self.room -= size

    # ---- news

    def _changed(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._tell(folder, inotify.MODIFY, name)

    def _tell(self, folder: str, mask: int, name: str) -> None:
        ears = self.ears.get(folder)
        if ears:
            for ear in ears:
                ear(folder, mask, name)


def _torn(file: File, dice: random.Random) -> bytes:
    """Unsynced bytes after a power cut: the old ones, or the new ones up to some place."""
    draw = dice.random()
    if draw < 0.3 and file.synced is not None:
        return file.synced
    if draw < 0.5:
        return file.data
    safe = len(file.synced) if file.synced is not None and file.data.startswith(file.synced) else 0
    return file.data[: dice.randint(safe, len(file.data))]
