"""The one fixed command that starts the runner on a node, whatever login shell reads it.

sh, bash, dash, zsh, csh and fish agree on little: a word in single quotes without backslash, `!` or line end in it is
such a thing. Hence Python's text below has no quotes at all, takes what it prints from its argument, and the rest from
standard input. An interpreter is tried before it is used: names on the PATH may be shims that lead nowhere.
"""

from __future__ import annotations

from typing import Final

MARKER: Final = b"afield-ready "
NO_PYTHON: Final = b"afield-nopython"
NO_PYTHON_STATUS: Final = 91

_FIRST: Final = "import sys;print(sys.argv[1],sys.version.split()[0],flush=True);exec(sys.stdin.buffer.raw.readline())"
_ABLE: Final = "import sys,fcntl,json,zlib;sys.exit(sys.version_info<(3,8))"
_SCRIPT: Final = "; ".join(
    (
        "PATH=$PATH:$HOME/.local/bin",
        "for p in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8",
        f'do if command -v $p >/dev/null && $p -I -S -c "{_ABLE}" </dev/null >/dev/null 2>&1',
        f'then exec $p -I -S -c "{_FIRST}" {MARKER.decode().strip()}',
        "fi",
        "done",
        f"echo {NO_PYTHON.decode()} $(for p in python3 python python2",
        "do if command -v $p >/dev/null",
        "then echo $p is $($p -V 2>&1)",
        "fi",
        "done)",
        f"exit {NO_PYTHON_STATUS}",
    )
)

COMMAND: Final = f"exec /bin/sh -c '{_SCRIPT}'"


def local_argv(python: str) -> list[str]:
    """The same start on this machine, where the interpreter is known and no shell is needed."""
    return [python, "-I", "-S", "-c", _FIRST, MARKER.decode().strip()]
