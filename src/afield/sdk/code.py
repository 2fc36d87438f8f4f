"""How the code of jobs differs, read from the shadow repository that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afield.config import load
from afield.errors import NotFound, UsageError
from afield.folders import Folders
from afield.snapshot.diff import diff
from afield.snapshot.dirs import places, take_with


def code_diff(first: Mapping[str, Any], other: Mapping[str, Any] | None) -> bytes:
    """How the code of a job (its view's `snapshot`) differs from another's, or with None from the workspace now.

    A patch as git writes it, empty when nothing differs. Raises NotFound when the code is no longer here.
    """
    cache = Path(Folders().cache)
    if other is None:
        root = Path(first["root"])
        if not root.is_dir():
            raise NotFound(f"the workspace {root} is no longer there", hints=["afield diff JOB OTHER-JOB"])
        now = take_with(root, places(load(root).dirs, root), cache=cache, big=True)
        tree, workspace = now.tree, first["workspace"]
    else:
        tree, workspace = str(other["tree"]), other["workspace"]
    if workspace != first["workspace"]:
        raise UsageError("these jobs ran the code of two workspaces", why="there is nothing to compare")
    return diff(cache, workspace, str(first["tree"]), tree)
