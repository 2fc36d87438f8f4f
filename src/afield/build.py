"""Which afield this is: version and build. Every command pays for these imports, so there are few."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache

VERSION = "0.1.0"


@lru_cache(maxsize=1)
def build() -> str:
    """The build that this process runs; computed once, when it is first asked."""
    return on_disk()


def on_disk() -> str:
    """The version and a digest of the package's files as they are now, such as `0.1.0+3fa9c1e04b7d`."""
    digest = hashlib.sha256()
    for line in sorted(_files(os.path.dirname(os.path.abspath(__file__)))):
        digest.update(line.encode("utf-8", "surrogateescape"))
    return f"{VERSION}+{digest.hexdigest()[:12]}"


def release(text: str) -> tuple[int, ...]:
    """The version in a build as numbers to compare; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.partition("+")[0].split("."))


def _files(folder: str) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                found.append(f"{entry.path}\0{status.st_size}\0{status.st_mtime_ns}\n")
            elif entry.name != "__pycache__" and entry.is_dir():
                found += _files(entry.path)
    return found
