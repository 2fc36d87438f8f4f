"""Each ssh of ours leaves a note while it lives, so that the next controller can end what a killed one left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from afield.transport.carrier import Carrier

_PREFIX = "ssh-"


def note(folder: Path, carrier: Carrier) -> None:
    """Note a started ssh in this folder until it has ended: its identity and ours, in the name of an empty file."""
    theirs, ours = identity(carrier.pid), identity(os.getpid())
    if theirs and ours:
        path = folder / f"{_PREFIX}{theirs}-{ours}"
        path.touch(mode=0o600)
        carrier.when_ended(lambda: path.unlink(missing_ok=True))


def reap(folder: Path) -> int:
    """End what stale notes name and remove them; how many processes that were. Others' living notes stay."""
    ended = 0
    for path in folder.glob(f"{_PREFIX}*"):
        parts = path.name.split("-")
        if len(parts) != 3 or identity_lives(parts[2]):
            continue
        if identity_lives(parts[1]):
            os.kill(int(parts[1].partition(".")[0]), signal.SIGTERM)
            ended += 1
        path.unlink(missing_ok=True)
    return ended


def abandoned(folder: Path) -> list[int]:
    """The processes that `reap` would end."""
    names = [path.name.split("-") for path in folder.glob(f"{_PREFIX}*")]
    lost = [
        parts[1] for parts in names if len(parts) == 3 and not identity_lives(parts[2]) and identity_lives(parts[1])
    ]
    return sorted(int(known.partition(".")[0]) for known in lost)


def identity(pid: int) -> str:
    """`PID.START`, the start in clock ticks since boot, so that a pid given again is told apart; "" for no process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else f"{pid}.{fields[19]}"


def identity_lives(known: str) -> bool:
    """Whether that very process still runs."""
    pid = known.partition(".")[0]
    return pid.isdigit() and identity(int(pid)) == known
