"""From a working tree to a snapshot: a tree hash in the shadow repository of the workspace. Imports little.

The tree is what the user sees, byte for byte: afield reads the files itself, so that no filter, line ending or
attribute of the user's git applies; that git only says which files there are. Only files whose stat changed are read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from afield.errors import UsageError
from afield.runner import gittree
from afield.snapshot.listing import Lister, Listing, Skipped
from afield.snapshot.objects import Name, Objects
from afield.snapshot.reading import Read, check_links, pieces, read
from afield.snapshot.roots import find_root as find_root
from afield.snapshot.state import GONE, HIDDEN, INODE, NEVER, RACE_NS, Seen, State, distrusted, load
from afield.snapshot.writing import Loose, Pack, Writer

if TYPE_CHECKING:
    from concurrent.futures import Future

Changes = dict[bytes, tuple[bytes, Name] | None]

BIG = 1_000_000_000
"""A send of more bytes than this asks first."""

FEW, FEW_BYTES = 48, 4 * 1024 * 1024
"""Up to so many changed files of so many bytes become loose objects; more become a pack."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

BATCH = 16
"""Files that one thread reads before it hands them on."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A working tree as it was. `changed` counts files that differ from the last take (all of them at the first).

    `bytes` is the size of all files, `largest` the five largest as (name, bytes), `skipped` what was left out as (name,
    reason); `folder` is where in the tree the command runs.
    """

    workspace: str
    tree: str
    root: str
    folder: str
    base_commit: str
    files: int
    bytes: int
    changed: int
    first: bool
    largest: tuple[tuple[str, int], ...]
    skipped: Skipped


def workspace_of(root: str | os.PathLike[str]) -> str:
    """The name of a root's shadow repository."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def take(root: Path, *, cache: Path, folder: str = "", big: bool = False, within: str = "") -> Snapshot:
    """The snapshot of a workspace now. With `within` its objects are kept in that workspace's shadow repository.

    Raises UsageError: `big` (unless `big`) when more than 1 GB would be read, `link-leaves`, `unreadable`,
    `changed-while-read`, `git-failed`, `git-missing`.
    """
    began = time.time_ns()
    top = os.fsencode(os.path.realpath(root))
    workspace = workspace_of(os.fsdecode(top))
    objects = Objects(cache, within or workspace)
    place = workspace if within else ""
    lister = Lister(top, objects.path)
    last = load(objects, place)
    seen = _stats(top, last.listing.names, {}) if last is not None else []
    listing = lister.listing(last.listing if last is not None else None)
    if last is None or listing is not last.listing:
        seen = _stats(top, listing.names, dict(zip(last.listing.names, seen, strict=True)) if last is not None else {})
    work = _Work(top, objects, listing, seen)
    work.compare(last)
    if not big:
        check_size(work.sizes(work.fresh), first=last is None)
    tree, changed = work.tree(last)
    if last is None or work.differing or listing is not last.listing:
        State(listing, _trusted(work.seen, began), tree).save(objects, place)
    present = work.sizes(range(len(listing.names)))
    return Snapshot(
        workspace=workspace,
        tree=tree.hash,
        root=os.fsdecode(top),
        folder=folder,
        base_commit=lister.commit(),
        files=len(present),
        bytes=sum(present.values()),
        changed=changed,
        first=last is None,
        largest=largest(present),
        skipped=(*listing.skipped, *work.skipped),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What a snapshot would hold, without reading a file: `names` with their sizes, `commit`, and what is left out."""

    names: dict[str, int]
    commit: str
    skipped: Skipped

    @property
    def largest(self) -> tuple[tuple[str, int], ...]:
        """The five largest files, as (name, bytes)."""
        return largest({os.fsencode(name): size for name, size in self.names.items()})


def look(root: Path, *, cache: Path) -> Look:
    """What `take` would take now. Raises UsageError as it does, but for sizes and contents."""
    top = os.fsencode(os.path.realpath(root))
    lister = Lister(top, Objects(cache, workspace_of(os.fsdecode(top))).path)
    listing = lister.listing(None)
    seen = zip(listing.names, _stats(top, listing.names, {}), strict=True)
    sizes = {os.fsdecode(name): found[3] for name, found in seen if found not in (GONE, HIDDEN)}
    return Look(sizes, lister.commit(), listing.skipped)


def check_size(sizes: dict[bytes, int], *, first: bool) -> None:
    """Raises UsageError `big` when files of these sizes are more than one sends without asking."""
    total = sum(sizes.values())
    if total <= BIG:
        return
    shown = ", ".join(f"{name} ({size / 1e6:.0f} MB)" for name, size in largest(sizes))
    raise UsageError(
        f"{len(sizes)} {'files' if first else 'changed files'} with {total / 1e9:.1f} GB would be sent",
        why=f"the largest: {shown}",
        hints=["leave files out in .afieldignore", "send it all the same: --big"],
        code="big",
    )


def largest(sizes: dict[bytes, int]) -> tuple[tuple[str, int], ...]:
    """The five largest files, as (name, bytes)."""
    floor = sorted(sizes.values())[-5:][:1]
    few = sorted(((size, name) for name, size in sizes.items() if size >= floor[0]), reverse=True)[:5] if floor else []
    return tuple((name.decode("utf-8", "backslashreplace"), size) for size, name in few)


class _Work:
    """One take under way: names, their stat, which to read (`differing`), which of these are new for sure (`fresh`)."""

    def __init__(self, root: bytes, objects: Objects, listing: Listing, seen: list[Seen]) -> None:
        self.seen = seen
        self.differing: list[int] = []
        self.fresh: list[int] = []
        self.skipped: list[tuple[str, str]] = []
        self._root = root
        self._objects = objects
        self._names = listing.names
        self._removed: list[bytes] = []

    def compare(self, last: State | None) -> None:
        """Find the files that have to be read, and those that are gone."""
        if last is not None and last.listing.names is self._names:
            before = last.seen
        else:
            known = dict(zip(last.listing.names, last.seen, strict=True)) if last is not None else {}
            before = [known.pop(name, NEVER) for name in self._names]
            self._removed = list(known)
        self.differing = [i for i, now in enumerate(self.seen) if now != before[i]]
        self.fresh = [i for i in self.differing if self.seen[i] != distrusted(before[i])]

    def sizes(self, which: Iterable[int]) -> dict[bytes, int]:
        """Name and size of these files, as far as they are there."""
        return {self._names[i]: self.seen[i][3] for i in which if self.seen[i] != GONE}

    def tree(self, last: State | None) -> tuple[gittree.Tree, int]:
        """The tree now, with all its objects in the repository, and how many files differ from the last take."""
        tree = last.tree if last is not None else gittree.Tree()
        few = len(self.differing) <= FEW and sum(self.sizes(self.differing).values()) <= FEW_BYTES
        writer: Writer = Loose(self._objects) if few else Pack(self._objects)
        try:
            changes = self._changes(tree, writer, few)
            for name, raw in tree.update(changes).items():
                if not self._objects.has(name):
                    writer.add(b"tree", name, raw)
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        return tree, len(changes)

    def _changes(self, tree: gittree.Tree, writer: Writer, few: bool) -> Changes:
        """The entries that differ from the tree; their contents go to the writer."""
        changes: Changes = dict.fromkeys([*self._removed, *(self._names[i] for i in self.differing)])
        known = set() if few else self._objects.names()
        links = []
        for index, found in self._read(known, parallel=not few):
            self.seen[index] = found.seen
            changes[found.name] = found.entry
            if found.entry[0] == gittree.LINK:
                links.append(found)
            if found.entry[1] not in known and not (few and self._objects.has(found.entry[1])):
                known.add(found.entry[1])
                self._write(writer, found)
        before = {name: tree.entry(name) for name in changes} if few else dict(gittree.files(tree))
        changes = {name: entry for name, entry in changes.items() if before.get(name) != entry}
        self._check_links(tree, changes, before)
        return changes

    def _write(self, writer: Writer, found: Read) -> None:
        if found.data is not None:
            writer.add(b"blob", found.entry[1], found.data, found.stream)
            return
        content = pieces(self._root, found.name, found.seen)
        writer.add_large(b"blob", found.entry[1], found.seen[3], content)

    def _read(self, known: set[Name], *, parallel: bool) -> Iterator[tuple[int, Read]]:
        """The differing files as read. Raises UsageError `unreadable` that names those which cannot be."""
        behind_link = _Folders(self._root)
        wanted = [
            i for i in self.differing if self.seen[i] != GONE and not behind_link(os.path.dirname(self._names[i]))
        ]
        troubles = []
        for index, found in (_in_threads if parallel else _in_turn)(self._root, self._names, wanted, known):
            if isinstance(found, OSError):
                troubles.append(f"{_text(self._names[index])}: {found.strerror}")
            elif found is not None:
                yield index, found
            elif not stat.S_ISDIR(self.seen[index][4]):
                self.skipped.append((_text(self._names[index]), "not a file, a folder or a link"))
        if troubles:
            raise UsageError(
                f"{len(troubles)} files of the workspace cannot be read",
                why="; ".join(troubles[:20]),
                hints=["change their permissions", "leave them out in .afieldignore"],
                code="unreadable",
            )

    def _check_links(self, tree: gittree.Tree, changes: Changes, before: Changes) -> None:
        """All links are looked at when one has changed: another may lead through it."""
        if not any(e is not None and e[0] == gittree.LINK for n in changes for e in (changes[n], before.get(n))):
            return
        links = {name for name, entry in gittree.files(tree) if entry[0] == gittree.LINK and name not in changes}
        links |= {name for name, entry in changes.items() if entry is not None and entry[0] == gittree.LINK}
        check_links(self._root, [(name, os.readlink(os.path.join(self._root, name))) for name in sorted(links)])


class _Folders:
    """Tells whether a folder below the root is reached through a link: its files are then not the workspace's."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._known = {b"": False}

    def __call__(self, folder: bytes) -> bool:
        if folder not in self._known:
            self._known[folder] = self(os.path.dirname(folder)) or os.path.islink(os.path.join(self._root, folder))
        return self._known[folder]


def _in_turn(
    root: bytes, names: list[bytes], wanted: list[int], _known: set[Name]
) -> Iterator[tuple[int, Read | OSError | None]]:
    return ((i, read(root, names[i])) for i in wanted)


def _in_threads(
    root: bytes, names: list[bytes], wanted: list[int], known: set[Name]
) -> Iterator[tuple[int, Read | OSError | None]]:
    """Reads, hashes and compresses several files at once, in order, with few of them in memory."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 costs 8 ms, which a send of one file does not pay

    def batch(indexes: list[int]) -> list[tuple[int, Read | OSError | None]]:
        return [(i, read(root, names[i], known)) for i in indexes]

    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[list[tuple[int, Read | OSError | None]]]] = deque()
        try:
            for start in range(0, len(wanted), BATCH):
                running.append(pool.submit(batch, wanted[start : start + BATCH]))
                if len(running) > workers * 2:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            for left in running:
                left.cancel()


def _stats(root: bytes, names: list[bytes], known: dict[bytes, Seen]) -> list[Seen]:
    """The stat of each file; of those in `known` it was taken just now."""
    found = []
    prefix = os.path.join(root, b"")
    for name in names:
        seen = known.get(name)
        if seen is None:
            try:
                # As in seen_of, without the call: this is where most of the time goes.
                at = os.lstat(prefix + name)
                seen = at.st_mtime_ns, at.st_ctime_ns, at.st_ino & INODE, at.st_size, at.st_mode
            except OSError as error:
                seen = GONE if error.errno in _ABSENT else HIDDEN
        found.append(seen)
    return found


def _trusted(seen: list[Seen], began: int) -> list[Seen]:
    """Without those that changed so shortly before the take that they could have changed again unnoticed."""
    until = began - RACE_NS
    return [row if row[0] < until and row[1] < until else distrusted(row) for row in seen]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
