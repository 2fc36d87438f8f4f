"""Brings files and folders to nodes: only what differs, whole or not at all, from where a cut left it.

Links go as links when they stay inside what is brought; one that leaves it is refused by name before anything is sent.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from afield.errors import AfieldError, Conflict, NotAllowed, NotFound, UsageError
from afield.runner import blocks
from afield.sdk import rsync
from afield.sdk.client import Client
from afield.sdk.http import Gone
from afield.sdk.meter import Meter
from afield.sdk.patience import Patience
from afield.transport.landing import inside, offset_of

Frame = tuple[dict[str, Any], bytes]

BITS = 0o777
"""What is carried of a mode: who may read, write and run it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file, link or folder to bring: its path below the source, and what it is."""

    path: bytes
    status: os.stat_result
    target: bytes | None = None


@dataclass(slots=True)
class Source:
    """One word of the user: `top` with its items. `name` is what a folder is called there; "" only its contents."""

    top: bytes
    name: bytes
    folder: bool
    items: list[Item] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    """What cannot be read here, with why."""


@dataclass(slots=True)
class Pushed:
    """What came to one node."""

    node: str
    path: str = ""
    files: int = 0
    bytes: int = 0
    kept: int = 0
    modes: int = 0
    """Files that were there, but for their mode."""
    skipped: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)


def read(word: str) -> Source:
    """What a word on the command line stands for here.

    Raises NotFound, NotAllowed for what cannot be read at all, UsageError for links that leave it.
    """
    path = os.fsencode(word)
    try:
        status = os.stat(path)
    except OSError as error:
        hints = [f"ls {shlex.quote(os.path.dirname(word) or os.curdir)}", "afield help places"]
        raise NotFound(f"there is no {word or repr(word)} here", why=str(error.strerror), hints=hints) from error
    real = os.path.abspath(path)
    if not _readable(real, status):
        raise NotAllowed(f"{word} cannot be read", why=os.strerror(errno.EACCES))
    if not stat.S_ISDIR(status.st_mode):
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{word} is neither a file nor a folder")
        name = os.path.basename(real)
        return Source(os.path.dirname(real), name, folder=False, items=[Item(name, status)])
    source = Source(real, b"" if path.endswith(b"/") else os.path.basename(real), folder=True)
    source.items.append(Item(b"", status))
    leaving: list[str] = []
    for item in _walk(real, b""):
        if item.target is not None and not inside(item.path.split(b"/"), item.target):
            leaving.append(os.fsdecode(item.path))
        elif not _readable(os.path.join(real, item.path), item.status):
            source.closed.append((os.fsdecode(item.path), os.strerror(errno.EACCES)))
        elif stat.S_ISREG(item.status.st_mode) or stat.S_ISDIR(item.status.st_mode) or item.target is not None:
            source.items.append(item)
        else:
            source.skipped.append(os.fsdecode(item.path))
    if leaving:
        raise UsageError(
            f"links lead out of {word}: {', '.join(leaving[:5])}{' …' * (len(leaving) > 5)}",
            why="what they lead to would not be there",
            hints=["bring what they lead to by its own name, or remove them"],
            code="link-leaves",
        )
    return source


def push(client: Client, sources: Sequence[Source], place: dict[str, Any], wanted: str, meter: Meter) -> Pushed:
    """Bring all of the sources to a place of one node, which `client.places` gave; `wanted` is the path as written.

    As with cp: into an existing folder (or one written with a slash at its end, or when there are several sources),
    else under that very name. Raises Conflict, Unreachable, and what the node says.
    """
    pushed = Pushed(place["node"], place["path"])
    within = len(sources) > 1 or wanted.endswith("/") or wanted == "" or place["kind"] == "dir"
    if within and place["kind"] not in ("dir", "none"):
        raise Conflict(f"{place['path']} on {place['node']} is no folder")
    for source in sources:
        _one(client, source, place, _Goal(place, source, within=within), _Count(pushed, meter))
    return pushed


class _Goal:
    """Where a source goes on the node: into `base`, its file as `rename` where it gets another name."""

    def __init__(self, place: dict[str, Any], source: Source, *, within: bool) -> None:
        path = os.fsencode(place["path"])
        if source.folder and place["kind"] == "file":
            raise Conflict(f"{place['path']} on {place['node']} is a file", why="a folder would replace it")
        if source.folder:
            self.base = os.path.join(path, source.name) if within and source.name else path
            self.rename = b""
        else:
            self.base = path if within else os.path.dirname(path)
            self.rename = source.name if within else os.path.basename(path)

    def name(self, item: Item) -> bytes:
        """The path of an item below the base."""
        return self.rename or item.path


@dataclass(slots=True)
class _Count:
    pushed: Pushed
    meter: Meter


def _one(client: Client, source: Source, place: dict[str, Any], goal: _Goal, count: _Count) -> None:
    node, base = place["node"], os.fsdecode(goal.base)
    there = _there(client, node, base, deep=source.folder)
    missing, modes = _missing(source, goal, there), _other_modes(source, goal, there)
    files = [item for item in missing if stat.S_ISREG(item.status.st_mode)]
    size = sum(item.status.st_size for item in files)
    regular = sum(stat.S_ISREG(item.status.st_mode) for item in source.items)
    count.pushed.kept += regular - len(files)
    count.pushed.skipped += source.skipped
    count.pushed.closed += source.closed
    count.pushed.modes += len(modes)
    count.meter.expect(len(files), size)
    if size >= rsync.WORTH and rsync.usable(place):
        client.put(node, base, [({"on": "dir", "path": ""}, b"")])
        way = rsync.Way(source.top, goal.base, [i.path for i in files], place["reach"], up=True, rename=goal.rename)
        if rsync.copy(way, count.meter):
            missing = [item for item in missing if not stat.S_ISREG(item.status.st_mode)]
    patience = Patience()
    while True:
        try:
            if modes:
                client.put(node, base, ((head, b"") for head in modes))
            if missing:
                have = _there(client, node, base, deep=source.folder)
                client.put(node, base, _frames(source, missing, goal, (have, count.meter)))
            break
        except Gone as error:
            patience.wait(error)
            there = _there(client, node, base, deep=source.folder)
            missing, modes = _missing(source, goal, there), _other_modes(source, goal, there)
    count.pushed.files += len(files)
    count.pushed.bytes += size


def _there(client: Client, node: str, base: str, *, deep: bool) -> dict[str, list[Any]]:
    try:
        return {row[0]: row for row in client.entries(node, base, deep=deep)}
    except NotFound:
        return {}


def _missing(source: Source, goal: _Goal, there: dict[str, list[Any]]) -> list[Item]:
    """What is not there as it is here; with anything else all folders, as their times change with what comes in."""
    found = []
    folders = [item for item in source.items if stat.S_ISDIR(item.status.st_mode)]
    for item in source.items:
        if not stat.S_ISDIR(item.status.st_mode) and not _same(item, there.get(os.fsdecode(goal.name(item)))):
            found.append(item)
    if found or not all(_same_folder(item, there) for item in folders):
        found += folders
    return found


def _same(item: Item, row: list[Any] | None) -> bool:
    """Whether a file or link is there as it is here, its mode aside."""
    if row is None:
        return False
    if item.target is not None:
        return bool(row[5] == os.fsdecode(item.target))
    return bool(row[1] == "file" and (row[2], row[3]) == (item.status.st_size, item.status.st_mtime_ns))


def _other_modes(source: Source, goal: _Goal, there: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """What gives files that are there already the mode that they have here."""
    heads = []
    for item in source.items:
        path, mode = os.fsdecode(goal.name(item)), stat.S_IMODE(item.status.st_mode) & BITS
        row = there.get(path)
        if row is not None and stat.S_ISREG(item.status.st_mode) and _same(item, row) and row[4] & BITS != mode:
            heads.append({"on": "mode", "path": path, "mode": mode})
    return heads


def _same_folder(item: Item, there: dict[str, list[Any]]) -> bool:
    row = there.get(os.fsdecode(item.path))
    if row is None:
        return not item.path and bool(there)
    mode = item.status.st_mode & BITS | stat.S_IRWXU
    return (row[1], row[3], row[4] & BITS) == ("dir", item.status.st_mtime_ns, mode)


def _frames(
    source: Source, items: Sequence[Item], goal: _Goal, known: tuple[dict[str, list[Any]], Meter]
) -> Iterator[Frame]:
    """Files and links, then the folders from the deepest up, so that their times are the last word."""
    there, meter = known
    sizes = {path: (row[2], row[3]) for path, row in there.items()}
    folders = []
    for item in items:
        path = os.fsdecode(goal.name(item))
        if item.target is not None:
            yield {"on": "link", "path": path, "target": os.fsdecode(item.target)}, b""
        elif stat.S_ISDIR(item.status.st_mode):
            folders.append(item)
        else:
            offset = offset_of(sizes, path, item.status.st_size, item.status.st_mtime_ns)
            yield from _file(os.path.join(source.top, item.path), item.status, _head(item, path, offset, sizes), meter)
    for item in reversed(folders):
        status = item.status
        head = {"on": "dir", "path": os.fsdecode(item.path), "mode": stat.S_IMODE(status.st_mode)}
        yield {**head, "mtime_ns": status.st_mtime_ns}, b""


def _head(item: Item, path: str, offset: int, sizes: dict[str, tuple[int, int]]) -> dict[str, Any]:
    status = item.status
    head = {"on": "file", "path": path, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "offset": offset}
    return {**head, "mode": stat.S_IMODE(status.st_mode), "stale": _stale(path, status, sizes)}


def _stale(path: str, status: os.stat_result, sizes: dict[str, tuple[int, int]]) -> list[str]:
    """Unfinished copies of other versions of a file."""
    folder, _, name = path.rpartition("/")
    own = os.fsdecode(blocks.part_name(os.fsencode(name), status.st_size, status.st_mtime_ns))
    like = os.fsdecode(b".%s." % os.fsencode(name)[:200])
    beside = (p.rpartition("/") for p in sizes if p.endswith(os.fsdecode(blocks.PART)))
    return [n for f, _, n in beside if f == folder and n.startswith(like) and len(n) == len(own) and n != own]


def _file(path: bytes, status: os.stat_result, head: dict[str, Any], meter: Meter) -> Iterator[Frame]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        meter.add(head["offset"])
        yield head, b""
        total = blocks.prefix(descriptor, head["offset"])
        at = head["offset"]
        for offset, data in blocks.blocks(descriptor, at, status.st_size):
            total.add(offset, data)
            yield {"on": "data", "offset": offset}, data
            meter.add(offset + len(data) - at)
            at = offset + len(data)
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise AfieldError(
                f"{os.fsdecode(path)} changed while it was read",
                hints=["run the command again"],
                code="changed-while-read",
            )
        yield {"on": "sum", "sum": total.end(status.st_size)}, b""
        meter.add(status.st_size - at)
    finally:
        os.close(descriptor)


def _walk(top: bytes, prefix: bytes) -> Iterator[Item]:
    with os.scandir(os.path.join(top, prefix)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = prefix + entry.name
        status = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else None
        if blocks.is_part(entry.name) or entry.name == os.fsencode(rsync.PARTS):
            continue
        yield Item(path, status, target)
        if stat.S_ISDIR(status.st_mode) and _readable(entry.path, status):
            yield from _walk(top, path + b"/")


def _readable(path: bytes, status: os.stat_result) -> bool:
    """Whether we may read a file, or look into a folder; anything else is not read."""
    if stat.S_ISDIR(status.st_mode):
        return os.access(path, os.R_OK | os.X_OK)
    return not stat.S_ISREG(status.st_mode) or os.access(path, os.R_OK)
