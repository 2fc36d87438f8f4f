"""The command line: one file per verb; arguments, work and printing are three places. Loads little: see `table`."""

from __future__ import annotations

import gc
import os
import sys

OBJECTS = 100_000
"""New objects between two looks for garbage; the usual 700 cost a short command a tenth of its time."""

INTERRUPTED = 130
"""128 + SIGINT, as in `errors.Exit`, which is not loaded this early."""


def main() -> None:
    """Run `afield` with the process's arguments and leave with its exit status."""
    if sys.argv[1:3] == ["completion", "--words"]:
        from afield.cli.completing import main as complete  # a press of the Tab key cannot wait for the rest

        complete(sys.argv[3:])
        return
    gc.set_threshold(OBJECTS)
    try:
        _streams()
        from afield.cli.app import run  # here, so that `import afield.cli` stays free for tools

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # so early that nothing has begun
        status = INTERRUPTED
    sys.exit(status)


def _streams() -> None:
    """Streams that are always there and take every text: a caller may have closed them, or know few letters."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    utf8 = sys.stdout.encoding.lower() in ("utf-8", "utf8")
    sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")  # type: ignore[union-attr]
