"""The command line: one file per verb; arguments, work and printing are three places. Loads little: see `table`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `afield` with the process's arguments and leave with its exit status."""
    from afield.cli.app import run  # here, so that `import afield.cli` stays free for tools

    sys.exit(run(sys.argv[1:]))
