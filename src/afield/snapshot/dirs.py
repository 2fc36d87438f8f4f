"""Several folders in one snapshot: the workspace's tree, with each other folder under a name at its top."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from afield.errors import UsageError
from afield.runner import gittree
from afield.snapshot.listing import OUTPUTS
from afield.snapshot.objects import Objects
from afield.snapshot.take import Snapshot, take
from afield.snapshot.writing import Loose


def take_with(root: Path, dirs: Mapping[str, Path], *, cache: Path, folder: str = "", big: bool = False) -> Snapshot:
    """The snapshot of a workspace now, and of other folders, each below its name. Raises UsageError as `take` does.

    The same rules apply to each folder, with its own `.afieldignore`; links must stay in it.
    """
    whole = take(root, cache=cache, folder=folder, big=big)
    if not dirs:
        return whole
    objects = Objects(cache, whole.workspace)
    entries = gittree.parse(objects.content(bytes.fromhex(whole.tree)))
    for name, place in dirs.items():
        if os.fsencode(name) in entries:
            raise UsageError(
                f"{place} cannot be {name}/: the workspace has that already",
                hints=[f"give it another name: {name}2={place}"],
                code="dir-clash",
            )
        part = take(place, cache=cache, big=big, within=whole.workspace)
        if part.files:
            entries[os.fsencode(name)] = (gittree.FOLDER, bytes.fromhex(part.tree))
        whole = _joined(whole, part, name)
    raw = gittree.build(entries)
    tree = gittree.name_of(b"tree", raw)
    if not objects.has(tree):
        writer = Loose(objects)
        writer.add(b"tree", tree, raw)
        writer.close()
    return replace(whole, tree=tree.hex())


def _joined(whole: Snapshot, part: Snapshot, name: str) -> Snapshot:
    found = [*whole.largest, *((f"{name}/{file}", size) for file, size in part.largest)]
    return replace(
        whole,
        files=whole.files + part.files,
        bytes=whole.bytes + part.bytes,
        changed=whole.changed + part.changed,
        largest=tuple(sorted(found, key=lambda row: -row[1])[:5]),
        skipped=(*whole.skipped, *((f"{name}/{file}", why) for file, why in part.skipped)),
    )


def places(words: tuple[str, ...], root: Path) -> dict[str, Path]:
    """The folders that `dirs` names, by their names in the snapshot: FOLDER, or NAME=FOLDER. Raises UsageError."""
    found: dict[str, Path] = {}
    for word in words:
        name, given, path = word.partition("=")
        if not given or "/" in name:
            name, path = "", word
        place = Path(os.path.realpath(root / Path(path).expanduser()))
        name = name or place.name
        _check(name, place, word, root)
        if found.setdefault(name, place) != place:
            raise UsageError(
                f"two folders would be {name}/",
                why=f"{found[name]} and {place}",
                hints=[f"{name}2={path}"],
                code="dir-clash",
            )
    return found


def absolute(word: str, here: Path) -> str:
    """A word of `dirs` that means the same everywhere."""
    name, given, path = word.partition("=")
    if not given or "/" in name:
        return str(here / Path(word).expanduser())
    return f"{name}={here / Path(path).expanduser()}"


def _check(name: str, place: Path, word: str, root: Path) -> None:
    if not place.is_dir():
        raise UsageError(f"dirs: there is no folder {place}")
    if name in ("", ".", "..", os.fsdecode(OUTPUTS)) or "/" in name or name.lower() == ".git":
        raise UsageError(f"dirs: {name!r} cannot name a folder in the snapshot", hints=[f"NAME={place}"])
    top = Path(os.path.realpath(root))
    if place in (Path(os.path.realpath(Path.home())), Path("/")) or place in top.parents or place == top:
        raise UsageError(
            f"dirs: {place} holds more than code", why="it would all be sent", hints=["name the folder itself"]
        )
    if top in place.parents:
        raise UsageError(f"dirs: {place} is in the workspace already", why=f"which is {top}")
