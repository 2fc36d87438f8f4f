"""Calls one function of the tests in this process, which has namespaces of its own, and prints what it returns."""

from __future__ import annotations

import importlib
import json
import sys

SKIP = 77


class Missing(Exception):
    """The machine lacks what the function needs; the text says what."""


def _main(target: str, *words: str) -> int:
    module, _, name = target.partition(":")
    try:
        print(json.dumps(getattr(importlib.import_module(module), name)(*words)))
    except Exception as error:
        if type(error).__name__ != Missing.__name__:
            raise
        print(error, file=sys.stderr)
        return SKIP
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
