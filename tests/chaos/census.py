"""Which processes of ours live where: one look at /proc for all sandboxes, and a memory of whom each belongs to."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

FRESH_S = 0.05
"""A look is shared by all who ask within so many seconds."""

ROLES = ("link", "clerk", "keeper", "shepherd")
_MARK = b"AFIELD_SANDBOX="
_RUN = re.compile(r"/runs/([0-9]+\.[0-9]+)/lock$")


@dataclass(frozen=True, slots=True)
class Living:
    """One process of the runner: `role` is the one of ROLES that it had when it was looked at."""

    pid: int
    start: str
    role: str
    sandbox: str

    def attempt(self) -> str:
        """The attempt that a shepherd holds the lock of; "" when that cannot be seen."""
        try:
            for name in os.listdir(f"/proc/{self.pid}/fd"):
                found = _RUN.search(os.readlink(f"/proc/{self.pid}/fd/{name}"))
                if found:
                    return found[1]
        except OSError:
            return ""
        return ""

    def send(self, how: signal.Signals) -> str:
        """Send it a signal; the role that it had then, "" when it was not there any more.

        A fork of a clerk that was seen a moment ago may be the keeper by now.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return ""
        try:
            found = _stat(str(self.pid))
            role = _role(found[0]) if found else ""
            if found is None or found[2] != self.start or found[3] in "ZX" or not role:
                return ""
            signal.pidfd_send_signal(handle, how)
        except OSError:
            return ""
        finally:
            os.close(handle)
        return role


class Census:
    """May be asked by several threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], str] = {}
        self._living: list[Living] = []
        self._at = 0.0
        self._turn = Lock()

    def living(self, sandbox: str) -> list[Living]:
        """The runner's processes in the sandbox with this id, as of a moment ago."""
        with self._turn:
            if time.monotonic() - self._at > FRESH_S:
                self._living = list(self._look())
                self._at = time.monotonic()
            return [process for process in self._living if process.sandbox == sandbox]

    def _look(self) -> Iterable[Living]:
        rows = {int(name): row for name in os.listdir("/proc") if name.isdigit() and (row := _stat(name))}
        for pid, (name, parent, start, state) in rows.items():
            role = _role(name)
            if not role or state in "ZX":
                continue
            if role == "shepherd" and rows.get(parent, ("",))[0] == name:
                continue  # a program on its way to its gate
            sandbox = self._sandbox(pid, start)
            if sandbox:
                yield Living(pid, start, role, sandbox)

    def _sandbox(self, pid: int, start: str) -> str:
        known = self._known.get((pid, start))
        if known is None:
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                return ""
            known = next((os.fsdecode(word[len(_MARK) :]) for word in words if word.startswith(_MARK)), "")
            self._known[pid, start] = known
        return known


def _role(name: str) -> str:
    role = name.removeprefix("afield-")
    return role if role != name and role in ROLES else ""


def _stat(pid: str) -> tuple[str, int, str, str] | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], int(fields[1]), fields[19], fields[0]
