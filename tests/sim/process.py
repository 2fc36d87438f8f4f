"""A process of a simulated node, as its kernel knows it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tests.sim.disk import Handle
from tests.sim.scheduler import Handle as Timer


class Killed(BaseException):
    """Thrown into the logic of a dead process so that Python lets go of it; what it still wants is not done."""


class Process:
    """Alive while not `dead`; a zombie while `dead` and still in its node's table."""

    def __init__(self, pid: int, start: int, parent: Process | None, role: str) -> None:
        self.pid = pid
        self.start = start
        self.parent = parent
        self.role = role
        self.session = pid
        self.mark = ""
        self.attempt = ""
        self.dead = False
        self.paused = False
        self.backlog: list[Timer] = []
        self.code: int | None = None
        self.signal: int | None = None
        self.children: dict[int, Process] = {}
        self.handles: list[Handle] = []
        self.subreaper = False
        # of ours
        self.generator: Generator[Any, Any, Any] | None = None
        self.answer: Any = None
        self.error: OSError | None = None
        self.inbox: list[tuple[Any, ...]] = []
        self.reported: set[tuple[int, int]] = set()
        self.ears = False
        self.waiting: Timer | None = None
        self.door = ""
        self.told = False
        self.gates: list[Any] = []
        # of others
        self.body: Any = None
        self.when_gone: Any = None

    @property
    def state(self) -> str:
        """The kernel's letter."""
        return "Z" if self.dead else "S"

    def drop_logic(self) -> None:
        """Ends the generator without letting it do anything more."""
        generator, self.generator = self.generator, None
        if generator is None:
            return
        for _ in range(100):
            try:
                generator.throw(Killed())
            except BaseException:  # noqa: BLE001 it is dead: whatever it raises now is nobody's
                return
