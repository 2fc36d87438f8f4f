"""What a planted bug is: the change to the source, the promise that it breaks, and who has to find it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src"


@dataclass(frozen=True, slots=True)
class Edit:
    """One place in the source, below src/afield: this text becomes that one."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug to be planted. `by` is a focus of the simulator (see focus.py), or tests that run real parts."""

    name: str
    breaks: str
    what: str
    edits: tuple[Edit, ...]
    by: str = "swarm"

    @property
    def simulated(self) -> bool:
        """Whether the simulator has to find it."""
        return "/" not in self.by


class NoPlace(Exception):
    """The text that a bug replaces is not there exactly once."""


def plant(bug: Bug, folder: Path) -> Path:
    """A copy of the source with the bug in it. Raises NoPlace."""
    copy = folder / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in bug.edits:
        path = copy / "afield" / edit.file
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise NoPlace(f"{bug.name}: {edit.file} holds this text {text.count(edit.old)} times:\n{edit.old}")
        path.write_text(text.replace(edit.old, edit.new))
    return copy
