"""How many files of a workspace are not as in the commit that is checked out; git counts while others work."""

from __future__ import annotations

import os
from pathlib import Path

from afield.errors import UsageError
from afield.folders import Folders
from afield.snapshot.git import Git
from afield.snapshot.roots import find_root

_STATUS = ("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
_WHAT = ("--", ".", ":(exclude)outputs", ":(exclude)data")
"""Results and data are no part of the code."""


class Edits:
    """Git at work on the workspace of a folder (default: here). Nothing is raised: what cannot be told is None."""

    def __init__(self, folder: Path | None = None) -> None:
        self._git: Git | None = None
        scratch = Folders().cache
        try:
            root, _ = find_root(folder or Path.cwd())
            os.makedirs(scratch, exist_ok=True)
            self._git = Git(["-C", os.fsencode(root), *_STATUS, *_WHAT], scratch=os.fspath(scratch))
        except (UsageError, OSError):
            return

    def count(self) -> int | None:
        """The edited, new and removed files, once git has looked; None where there is no checkout. Call it once."""
        if self._git is None:
            return None
        status, out, _ = self._git.finish()
        return out.count(b"\0") if status == 0 else None
