"""The timeline of one seed, for a person who looks for what went wrong."""

from __future__ import annotations

import sys
from typing import Any

from afield.model.event import NodeObserved, Record
from afield.runner import effects
from tests.sim.scheduler import Scheduler

SHOWN = (
    effects.Write,
    effects.Append,
    effects.Unlink,
    effects.Program,
    effects.Open,
    effects.Shut,
    effects.Spawn,
    effects.Tell,
    effects.Signal,
    effects.Reap,
    effects.Listen,
)
NAMED = (effects.Lock, effects.Put)


class Story:
    """Prints what happens, as it happens. `all` shows every effect."""

    def __init__(self, all: bool = False) -> None:
        self.scheduler: Scheduler
        self._all = all

    def line(self, where: str, text: str) -> None:
        """One line."""
        sys.stdout.write(f"{self.scheduler.now - 1000.0:11.4f}  {where:<10} {text}\n")

    def effect(self, machine: Any, process: Any, effect: Any) -> None:
        """What a process of ours is about to do."""
        if self._all or isinstance(effect, SHOWN) or (isinstance(effect, NAMED) and effect.label):
            who = f"{process.role} {process.attempt}".strip()
            self.line(machine.name, f"{who} [{process.pid}] {_short(effect)}")

    def request(self, machine: Any, pid: int, head: dict[str, Any]) -> None:
        """What the controller asks of a node."""
        attempt = head.get("attempt") or (f"{head['spec']['job']}.{head['spec']['attempt']}" if "spec" in head else "")
        self.line(machine.name, f"link [{pid}]: {head['do']} {attempt} {head.get('why') or head.get('reason') or ''}")

    def event(self, record: Record) -> None:
        """What the store has now."""
        event = record.event
        if isinstance(event, NodeObserved):
            text = f"NodeObserved {event.node} {event.health} {event.detail}"
        else:
            text = repr(event)
        self.line("STORE", text if len(text) < 300 else text[:300] + "…")


def _short(effect: Any) -> str:
    kind = type(effect)
    path = getattr(effect, "path", "").removeprefix("/n/s/" + "5" * 16 + "/runs/")
    data = getattr(effect, "data", b"")
    if path:
        text = data[:160].decode("utf-8", "replace").strip().strip("\0")
        return f"{kind.__name__} {path} {text}"
    if kind is effects.Spawn:
        return f"Spawn {effect.role} {effect.arguments[1]}"
    if kind is effects.Program:
        return f"Program {' '.join(effect.argv[:3])}"
    return repr(effect)[:200]
