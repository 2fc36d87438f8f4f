"""rsync as a carrier of much data, where both sides have it: it is told each file by name, and only moves bytes.

What is copied, what is kept and what is refused is decided before, by us. A failure of rsync is no failure of the copy:
what it left out goes the other way.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from afield.sdk.meter import Meter

WORTH = 16 * 1024 * 1024
"""Below so many bytes our own way is as fast, and it is the one that fsyncs nothing twice."""

PARTS = ".afield-part"
_VERSION = re.compile(r"rsync\s+version v?(\d+)\.(\d+)")
_DONE = re.compile(rb"\s*([\d,]+)\s+\d+%")
_FLAGS = ("--times", "--perms", "--sparse", "--secluded-args", f"--partial-dir={PARTS}", "--no-human-readable")


@dataclass(frozen=True, slots=True)
class Way:
    """Files by name from one folder to another; one of them is on the node that `reach` leads to.

    With `rename` it is one file, which gets another name.
    """

    source: bytes
    target: bytes
    names: Sequence[bytes]
    reach: Mapping[str, Any]
    up: bool
    rename: bytes = b""


def usable(place: Mapping[str, Any]) -> bool:
    """Whether rsync is new enough on both sides and reaches the node."""
    return place.get("reach") is not None and _able(place.get("rsync", "")) and _able(_here())


def copy(way: Way, meter: Meter) -> bool:
    """Whether all of it was copied. Each file gets its name when it is whole, by rsync's own sum."""
    host = os.fsencode(way.reach["host"])
    there = host + b":" if host else b""
    source, target = os.path.join(way.source, b""), os.path.join(way.target, way.rename)
    words: list[bytes | str] = ["rsync", *_FLAGS, "--info=progress2", "--outbuf=L"]
    if way.rename:
        source += way.names[0]
    else:
        words += ["--from0", "--files-from=-"]
    ends = (source, there + target) if way.up else (there + source, target)
    if way.reach["shell"]:
        words += ["-e", shlex.join(way.reach["shell"])]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*words, "--", *ends], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet) as child:
        try:
            _converse(child, way.names, meter)
        except BaseException:
            child.terminate()
            raise
    return child.returncode == 0


def _converse(child: subprocess.Popen[bytes], names: Sequence[bytes], meter: Meter) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(b"".join(name + b"\0" for name in names))
        child.stdin.close()
    except BrokenPipeError:
        return
    told = 0
    while piece := os.read(child.stdout.fileno(), 4096):
        found = _DONE.findall(piece)
        if found:
            now = int(found[-1].replace(b",", b""))
            meter.add(max(0, now - told))
            told = max(told, now)


def _able(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 1)


@cache
def _here() -> str:
    try:
        told = subprocess.run(["rsync", "--version"], capture_output=True, check=False)
    except OSError:
        return ""
    return told.stdout.decode("ascii", "replace")
