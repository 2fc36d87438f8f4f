"""What of a submission a person has not been told yet: things that stay as they are need not be said at every run.

What was said last is a file in the workspace's shadow repository; without it everything is said again.
"""

from __future__ import annotations

import os
from pathlib import Path

from afield.folders import Folders
from afield.sdk.submit import Built
from afield.snapshot.objects import Objects, replace

_FILE = "afield-left-out"


def left_out(built: Built) -> tuple[str, ...]:
    """The lines about what is left out when they are others than last time; none when they are the same."""
    path = Path(Objects(Folders().cache, built.body["task"]["code"]["workspace"]).path, _FILE)
    lines = "".join(f"{line}\n" for line in built.left_out).encode("utf-8", "surrogateescape")
    if (path.read_bytes() if path.exists() else b"") == lines:
        return ()
    try:
        replace(os.fspath(path), lines)
    except OSError:
        return built.left_out  # a full disk: it is said once more than needed
    return built.left_out
