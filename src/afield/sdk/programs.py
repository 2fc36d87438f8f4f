"""Programs that afield brings for a command: who runs a notebook, and what its code says of the environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from afield.environment.cells import code
from afield.environment.detect import Found
from afield.environment.extra import add
from afield.errors import UsageError

NOTEBOOK = ".ipynb"
EXECUTE = ("python3", "-m", "afield_execute")
JUPYTER = ("python3", "-m", "afield_serve", "jupyter")
EXECUTE_NEEDS = ("nbclient", "ipykernel")
_AT = re.compile(r"<the command>:\d+")


def program(argv: Sequence[str]) -> Sequence[str]:
    """What really runs: a notebook needs somebody who runs it. Raises UsageError for words to a notebook."""
    if not argv[0].endswith(NOTEBOOK):
        return argv
    if len(argv) > 1:
        raise UsageError(
            f"a notebook takes no words: {argv[1]}",
            why="it has no command line",
            hints=[f"afield run -e LR=3 {argv[0]}    and os.environ in a cell"],
        )
    return (*EXECUTE, *argv)


def looked_at(argv: Sequence[str], here: Path) -> Sequence[str]:
    """The words that say what a command imports: of a notebook, and of Jupyter for one, the code in it."""
    notebook = _notebook(argv)
    return argv if notebook is None else ("python3", "-c", code(here / notebook))


def found_for(argv: Sequence[str], found: Found) -> Found:
    """What was found in a command's code: for a notebook told as that, with what runs it where nothing else does."""
    notebook = _notebook(argv)
    if notebook is None:
        return found
    notes = tuple(_AT.sub(lambda _: notebook, note) for note in found.notes)
    return add(replace(found, notes=notes), EXECUTE_NEEDS if argv[0] == notebook else ())


def _notebook(argv: Sequence[str]) -> str | None:
    """The notebook that a command is about; "" for Jupyter without one, None for other commands."""
    if argv[0].endswith(NOTEBOOK):
        return argv[0]
    if tuple(argv[: len(JUPYTER)]) == JUPYTER:
        return argv[-1] if len(argv) > len(JUPYTER) else ""
    return None
