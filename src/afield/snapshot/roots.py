"""Where a workspace begins."""

from __future__ import annotations

import os
from pathlib import Path

from afield.errors import UsageError


def find_root(cwd: str | os.PathLike[str]) -> tuple[Path, str]:
    """(root, folder): the workspace around `cwd` and the place of `cwd` in it, "" for the root itself.

    The root is the nearest folder with `afield.toml`, else the top of the git checkout, else `cwd`. Raises UsageError
    `root-refused` for the home folder and `/`.
    """
    here = Path(os.path.realpath(cwd))
    above = (here, *here.parents)
    refused = {Path(os.path.realpath(Path.home())), Path("/")}
    root = next((p for p in above if (p / "afield.toml").is_file()), None)
    if root is None:
        # A checkout of the whole home folder (dotfiles) says nothing about a project below it.
        root = next((p for p in above if p not in refused and is_checkout(p)), here)
    if root in refused:
        raise UsageError(
            f"{root} is not sent as a workspace",
            why="it would take everything below it to the node",
            hints=[f"put an empty afield.toml into your project's folder below {root}", "go to your project's folder"],
            code="root-refused",
        )
    folder = here.relative_to(root).as_posix()
    return root, "" if folder == "." else folder


def is_checkout(folder: str | bytes | os.PathLike[str]) -> bool:
    """Whether a git checkout begins in this folder."""
    mark = os.path.join(os.fsencode(folder), b".git")
    if os.path.isfile(os.path.join(mark, b"HEAD")):
        return True
    try:
        with open(mark, "rb") as file:
            return file.read(8) == b"gitdir: "
    except OSError:
        return False


def checkout_of(folder: bytes) -> bytes | None:
    """The top of the checkout around a folder; None outside, and for a checkout of the whole home folder."""
    home = os.path.realpath(os.path.expanduser(b"~"))
    while folder not in (b"/", home):
        if is_checkout(folder):
            return folder
        folder = os.path.dirname(folder)
    return None
