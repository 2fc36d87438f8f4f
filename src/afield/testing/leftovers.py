"""Temporary folders that know who made them, so that the next one tidies up what a killed process could not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from afield.testing.processes import identity, lives

# Short, because the paths of sockets below must fit into 108 bytes.
PLACE = Path("/tmp")
MAKER = "maker"


def make_folder(prefix: str) -> Path:
    """A new folder for this process, open to its owner only."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=PLACE))
    said = folder / f"{MAKER}.part"
    said.write_text(identity(os.getpid()))
    said.rename(folder / MAKER)  # whoever sweeps in between would take a maker without a name for a dead one
    return folder


def abandoned(prefix: str) -> list[Path]:
    """The current user's folders of that prefix whose makers are gone."""
    found = []
    for folder in PLACE.glob(f"{prefix}*"):
        try:
            status, maker = folder.lstat(), (folder / MAKER).read_text()
        except OSError:  # not one of ours, or removed while we looked
            continue
        if status.st_uid == os.geteuid() and not lives(maker):
            found.append(folder)
    return found
