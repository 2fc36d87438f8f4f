"""Errands: the terminal is another program's for a while, and the live screen's again afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

AFIELD = (sys.executable, "-c", "from afield.cli import main; main()")
"""This afield, as a program."""

BY_SSH = 255
"""The status of a shell that could not be opened or was cut, and not of a program in it."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A program for the terminal, and what is said before it. `read` says whether its last words want to be read.

    It gets the exit status, and whether Ctrl-C was pressed.
    """

    argv: tuple[str, ...]
    title: str
    read: Callable[[int, bool], bool]


def shell(found: dict[str, Any], title: str) -> Errand:
    """A shell beside a job, as the API tells how to get it."""
    said = f"{title}, on {found['node']}; its end goes back to top"
    return Errand(tuple(found["argv"]), said, lambda status, _: status == BY_SSH)


def forward(number: int, ports: tuple[str, ...]) -> Errand:
    """Ports of a job's node, until Ctrl-C."""
    return Errand((*AFIELD, "forward", f"job:{number}", *ports), "", lambda _, asked: not asked)


def run(errand: Errand) -> None:
    """Run it to its end in the terminal that we have left; the terminal is as it was before, whatever became of it."""
    if errand.title:
        print(errand.title, flush=True)
    with _given_away() as asked:
        try:
            status = subprocess.run(errand.argv, check=False).returncode
        except OSError as error:
            print(f"{errand.argv[0]}: {error.strerror}")
            status = BY_SSH
    if errand.read(status, bool(asked)):
        print("Enter goes back to top", flush=True)
        sys.stdin.readline()


@contextmanager
def _given_away() -> Iterator[list[int]]:
    """Ctrl-C is for the other program alone; it is counted. The terminal's settings and its owner come back."""
    asked: list[int] = []

    def heard(number: int, _: FrameType | None) -> None:
        asked.append(number)

    settings = termios.tcgetattr(0)
    before = signal.signal(signal.SIGINT, heard)
    try:
        yield asked
    finally:
        owner = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        termios.tcsetattr(0, termios.TCSADRAIN, settings)
        signal.signal(signal.SIGTTOU, owner)
        signal.signal(signal.SIGINT, before)
