"""How the code of jobs differs, read from the shadow repository that keeps it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afield.errors import AfieldError, NotFound, UsageError
from afield.folders import Folders
from afield.snapshot.objects import Objects
from afield.snapshot.take import take

_OPTIONS = ["--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--binary"]


def code_diff(first: Mapping[str, Any], other: Mapping[str, Any] | None) -> bytes:
    """How the code of a job (its view's `snapshot`) differs from another's, or with None from the workspace now.

    A patch as git writes it, empty when nothing differs. Raises NotFound when the code is no longer here.
    """
    cache = Path(Folders().cache)
    if other is None:
        root = Path(first["root"])
        if not root.is_dir():
            raise NotFound(f"the workspace {root} is no longer there", hints=["afield diff JOB OTHER-JOB"])
        tree, workspace = take(root, cache=cache, big=True).tree, first["workspace"]
    else:
        tree, workspace = str(other["tree"]), other["workspace"]
    if workspace != first["workspace"]:
        raise UsageError("these jobs ran the code of two workspaces", why="there is nothing to compare")
    return _git_diff(Objects(cache, workspace).path, str(first["tree"]), tree)


def _git_diff(repository: str, before: str, after: str) -> bytes:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", f"--git-dir={repository}", "diff-tree", "-p", "-r", *_OPTIONS, before, after, "--"],
        capture_output=True,
        env={**clean, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"},
        check=False,
    )
    if done.returncode:
        why = os.fsdecode(done.stderr.strip())
        if "bad object" in why or "not a git repository" in why or "bad revision" in why:
            raise NotFound("the code of that job is no longer kept", why=why)
        raise AfieldError("git cannot compare the two", why=why)
    return done.stdout
