"""Finds, freezes and ends processes on this machine by what they are: their account, their variables, their parent.

Nothing is ended by a bare number: the process is held by a descriptor, looked at again, and only then sent the signal.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from afield.errors import AfieldError

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One living process as /proc/PID/status shows it."""

    pid: int
    name: str
    parent: int
    uid: int
    state: str


def look(pid: int) -> Process | None:
    """The process of that number; None when there is none or when it has ended and only waits to be reaped."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    if fields["State"][0] in "ZX":
        return None
    return Process(pid, fields["Name"], int(fields["PPid"]), int(fields["Uid"].split()[0]), fields["State"][0])


def running() -> Iterator[Process]:
    """Every living process but this one."""
    for entry in os.listdir(PROC):
        if entry.isdigit() and int(entry) != os.getpid():
            process = look(int(entry))
            if process is not None:
                yield process


def identity(pid: int) -> str:
    """Number and start ticks, as text: a number alone comes back for another process. Empty when there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    return f"{pid} {stat.rpartition(')')[2].split()[19]}"


def lives(who: str) -> bool:
    """Whether the process of that `identity` is still there."""
    number = who.partition(" ")[0]
    return number.isdigit() and identity(int(number)) == who


def has_variable(process: Process, name: str, value: str) -> bool:
    """Whether it was started with NAME=VALUE; False also where its variables may not be read."""
    wanted = os.fsencode(f"{name}={value}")
    try:
        return wanted in (PROC / str(process.pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def command_line(process: Process) -> list[str]:
    """Its arguments; empty when it has ended."""
    try:
        raw = (PROC / str(process.pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")]


def freeze(wanted: Callable[[Process], bool], *, within_s: float = 10.0) -> None:
    """Sends SIGSTOP to every process that is `wanted` until none runs: then none sees how another one ends.

    Raises AfieldError with those that still run after `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while found := [process for process in running() if wanted(process) and process.state not in "Tt"]:
        if time.monotonic() > deadline:
            raise AfieldError(f"{len(found)} processes did not stand still within {within_s:g} s")
        for process in found:
            descriptor = _hold(process, wanted)
            if descriptor is not None:
                _send(descriptor, signal.SIGSTOP)
                os.close(descriptor)


def end_all(wanted: Callable[[Process], bool], *, how: signal.Signals = signal.SIGKILL, within_s: float = 10.0) -> int:
    """Sends `how` to every process that is `wanted` until none is left; returns how many there were.

    Raises AfieldError with the survivors when some are left after `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    seen: set[int] = set()
    while found := [process for process in running() if wanted(process)]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise AfieldError(
                f"{len(found)} processes did not end within {within_s:g} s",
                why="; ".join(f"{p.pid} {' '.join(command_line(p))[:120]}" for p in found),
            )
        seen.update(process.pid for process in found)
        _signal_and_wait(found, wanted, how, left)
    return len(seen)


def _signal_and_wait(
    found: list[Process], wanted: Callable[[Process], bool], how: signal.Signals, patience_s: float
) -> None:
    waiter = select.poll()
    held = []
    for process in found:
        descriptor = _hold(process, wanted)
        if descriptor is not None:
            held.append(descriptor)
            waiter.register(descriptor, select.POLLIN)
            _send(descriptor, how)
    deadline = time.monotonic() + patience_s
    gone: set[int] = set()
    while len(gone) < len(held) and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in waiter.poll(left * 1000):
            waiter.unregister(descriptor)
            gone.add(descriptor)
    for descriptor in held:
        os.close(descriptor)


def _hold(process: Process, wanted: Callable[[Process], bool]) -> int | None:
    """A descriptor of the process, or None when the number now belongs to something else."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    again = look(process.pid)
    if again is not None and wanted(again):
        return descriptor
    os.close(descriptor)
    return None


def _send(descriptor: int, how: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, how)
    except ProcessLookupError:
        pass
