"""The files of a snapshot, one after the other, with their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afield.runner import gittree
from afield.snapshot.objects import Objects


class Member(NamedTuple):
    """One file or link; the data of a link is what it leads to."""

    path: bytes
    data: bytes
    program: bool
    link: bool


def contents(cache: Path, workspace: str, tree: str) -> Iterator[Member]:
    """All members by path. Raises NotFound `snapshot-missing`."""
    objects = Objects(cache, workspace)
    for path, (mode, name) in sorted(gittree.files(objects.tree(tree))):
        yield Member(path, objects.content(name), mode == gittree.PROGRAM, mode == gittree.LINK)
