"""What differs between two snapshots of a workspace, as a patch."""

from __future__ import annotations

from pathlib import Path

from afield.snapshot.git import NO_CONFIG, Git
from afield.snapshot.objects import Objects


def diff(cache: Path, workspace: str, old: str, new: str) -> bytes:
    """The patch from one tree to another; empty when they are the same.

    Raises NotFound `snapshot-missing`, UsageError `git-missing`. Bytes, because files are.
    """
    objects = Objects(cache, workspace)
    for tree in (old, new):
        objects.tree(tree)
    arguments = ["--git-dir", objects.path, "diff-tree", "-p", "-r", "-M", "--no-ext-diff", "--no-textconv", old, new]
    out, _ = Git(arguments, scratch=objects.path, variables=NO_CONFIG).output()
    return out
