"""The command line: one file per verb; arguments, work and printing are three places. Loads little: see `table`."""

from __future__ import annotations

import gc
import sys

OBJECTS = 100_000
"""New objects between two looks for garbage; the usual 700 cost a short command a tenth of its time."""


def main() -> None:
    """Run `afield` with the process's arguments and leave with its exit status."""
    if sys.argv[1:3] == ["completion", "--words"]:
        from afield.cli.completing import main as complete  # a press of the Tab key cannot wait for the rest

        complete(sys.argv[3:])
        return
    gc.set_threshold(OBJECTS)
    from afield.cli.app import run  # here, so that `import afield.cli` stays free for tools

    sys.exit(run(sys.argv[1:]))
