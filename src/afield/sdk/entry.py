"""Refuses a program that can only fail on the node: a file that is not here, or that is not sent."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from afield.errors import UsageError
from afield.sdk.programs import NOTEBOOK, program


def check_script(argv: Sequence[str], root: Path, place: str, *, may_come: bool) -> None:
    """Raises UsageError for a line as one word; unless `may_come`, for a program that is missing or not sent."""
    here, word = root / place, argv[0]
    program(argv)
    if word.endswith((".py", NOTEBOOK)):
        _check_inside(word, root, here)
    if may_come or (here / word).exists():
        return
    if " " in word and len(argv) == 1:
        raise UsageError(
            f"{word!r} is one word",
            why="no program has that name",
            hints=[f"afield run -- bash -c {shlex.quote(word)}"],
        )
    if word.endswith((".py", NOTEBOOK)):
        above = os.path.dirname(word)
        scripts = [os.path.join(above, path.name) for path in (here / above).glob(f"*{Path(word).suffix}")]
        near = difflib.get_close_matches(word, scripts, n=1)
        raise UsageError(
            f"there is no file {word} here",
            why=f"looked in {here}",
            hints=[f"did you mean {n}?" for n in near] or [f"afield run -- python3 {word}    if it is on the node"],
        )


def _check_inside(word: str, root: Path, here: Path) -> None:
    """An absolute path is the node's own affair, unless it is the workspace's: the job has a copy of that."""
    top = os.path.realpath(root)
    path = os.path.normpath(os.path.join(os.path.realpath(here), word))
    inside = path.startswith(top + os.sep)
    if os.path.isabs(word):
        if inside or os.path.realpath(word).startswith(top + os.sep):
            short = os.path.relpath(os.path.realpath(word), os.path.realpath(here))
            raise UsageError(
                f"{word} is this machine's copy", why="the job has one of its own", hints=[f"afield run {short}"]
            )
        return
    if not inside:
        holds = os.path.dirname(path)
        brings = [] if top.startswith(holds.rstrip(os.sep) + os.sep) else [f"--dir {os.path.dirname(word)}"]
        raise UsageError(
            f"{word} is outside of what is sent",
            why=f"that is {top}",
            hints=["run it from a folder that holds it", *(f"{words} brings its folder too" for words in brings)],
            code="entry-outside",
        )
