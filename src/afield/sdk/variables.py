"""The variables of a command that runs outside of any submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from afield.config import load, values
from afield.config.keys import BY_NAME
from afield.errors import UsageError
from afield.snapshot.roots import find_root


def given(words: Sequence[str]) -> dict[str, str]:
    """Of words as `K=V`, or `K` for the caller's own. Raises UsageError."""
    return dict(values.read(BY_NAME["env"], list(words)))


def here(words: Sequence[str]) -> dict[str, str]:
    """Of the project one is in, if any, with such words on top. Raises UsageError."""
    try:
        root = find_root(Path.cwd())[0]
    except UsageError:  # a home folder is no project
        root = None
    return dict(load(root, {"env": list(words)} if words else None).env)
