"""Files that come with one job beside its code: blobs in the shadow repository, put there by who submits."""

from __future__ import annotations

import os

from afield.model.task import Attached
from afield.runner import gittree
from afield.snapshot.objects import Objects
from afield.snapshot.writing import Loose, Pack, Writer

FEW = 8
"""So many files are written one by one; more go into one pack, which is synced to the disk once."""


def attach(cache: str | os.PathLike[str], workspace: str, files: list[tuple[str, bytes]]) -> list[Attached]:
    """Keep these files (name and content) for jobs of a workspace; on the disk when this returns."""
    objects = Objects(cache, workspace)
    writer: Writer = Loose(objects) if len(files) <= FEW else Pack(objects)
    given = []
    fresh = set()
    try:
        for name, data in files:
            blob = gittree.name_of(b"blob", data)
            if blob not in fresh and not objects.has(blob):
                fresh.add(blob)
                writer.add(b"blob", blob, data)
            given.append(Attached(name, blob.hex(), len(data)))
    except BaseException:
        writer.abandon()
        raise
    writer.close()
    return given


def read(cache: str | os.PathLike[str], workspace: str, blob: str) -> bytes:
    """The content of a file that was attached. Raises NotFound `snapshot-missing`."""
    return Objects(cache, workspace).content(bytes.fromhex(blob))
