"""The processes of one simulated node: forking, signals, exits, zombies, orphans, pids that are used again at once."""

from __future__ import annotations

import random
from typing import Any

from tests.sim.disk import Disk, Handle
from tests.sim.process import Process
from tests.sim.scheduler import Scheduler

FIRST_PID = 100
OURS = ("keeper", "shepherd")
USR1, TERM, KILL, CONT = 10, 15, 9, 18


class Kernel:
    """One node's processes and locks. Of `pids` numbers, few come round soon; where all are taken there are more."""

    def __init__(self, name: str, scheduler: Scheduler, dice: random.Random, pids: int) -> None:
        self.name = name
        self.scheduler = scheduler
        self.dice = dice
        self.disk = Disk()
        self.pids = pids
        self.boots = 0
        self.up = True
        self.careless = False  # as the first process of a container may be, that never asks how its children ended
        self.table: dict[int, Process] = {}
        self.doors: dict[str, Process] = {}
        self._used: set[tuple[int, int]] = set()
        self.boot()

    def boot(self) -> None:
        """The machine is up, with nothing but its first process."""
        self.boots += 1
        self.booted = self.scheduler.now - self.dice.uniform(5.0, 5000.0)
        self.boot_id = f"{self.name}-boot{self.boots}"
        self.init = Process(1, 0, None, "init")
        self.table = {1: self.init}
        self.doors = {}
        self.up = True

    def mono(self) -> float:
        """Seconds since boot."""
        return self.scheduler.now - self.booted

    def fork(self, parent: Process, role: str) -> Process:
        """A new process."""
        start = int(self.mono() * 100)
        taken = len(self.table) - 1
        numbers = self.pids if taken < self.pids else 2 * taken
        while True:
            pid = FIRST_PID + self.dice.randrange(numbers)
            if pid not in self.table and (pid, start) not in self._used:
                break
            start += 1
        self._used.add((pid, start))
        process = Process(pid, start, parent, role)
        process.mark = parent.mark
        process.attempt = parent.attempt
        self.table[pid] = parent.children[pid] = process
        return process

    def find(self, pid: int, start: int) -> Process | None:
        """The living process of that identity."""
        process = self.table.get(pid)
        return process if process is not None and process.start == start and not process.dead else None

    # ---- signals

    def signal(self, process: Process, number: int) -> None:
        """What a signal does to it."""
        if number == KILL:
            self.exit(process, None, KILL)
        elif process.body is not None:
            process.body.signalled(number)
        elif process.role in OURS and process.ears and number in (USR1, TERM):
            word = ("poke",) if number == USR1 else ("term",)
            if word not in process.inbox:
                self.tell(process, word)

    def tell(self, process: Process, happening: tuple[Any, ...]) -> None:
        """Something for a process that waits."""
        if not process.dead:
            process.inbox.append(happening)
            self.wake(process)

    def wake(self, process: Process) -> None:
        """See `Machine`."""
        raise NotImplementedError

    # ---- ends

    def exit(self, process: Process, code: int | None, signum: int | None) -> None:
        """A process ends: its locks, gates and doors with it; its parent hears of it, its children get another one."""
        if process.dead:
            return
        process.dead = True
        process.code, process.signal = code, signum
        process.drop_logic()
        self._let_go(process)
        heir = self._heir(process)
        for child in list(process.children.values()):
            self._adopt(child, heir)
        process.children.clear()
        if process.body is not None:
            process.body.ended()
        if process.when_gone is not None:
            process.when_gone(process)
        self._report(process)

    def _let_go(self, process: Process) -> None:
        for handle in process.handles:
            handle.leave(process)
        process.handles.clear()
        for gate in process.gates:
            gate.close()
        process.gates.clear()
        if process.door and self.doors.get(process.door) is process:
            del self.doors[process.door]
        parent = process.parent
        if process.role == "shepherd" and not process.told and parent is not None and not parent.dead:
            process.told = True
            self.tell(parent, ("told", process.pid, ""))

    def _heir(self, process: Process) -> Process:
        above = process.parent
        while above is not None and (above.dead or not above.subreaper):
            above = above.parent
        return above or self.init

    def _adopt(self, child: Process, heir: Process) -> None:
        child.parent = heir
        heir.children[child.pid] = child
        if child.dead:
            self._report(child)

    def _report(self, process: Process) -> None:
        parent = process.parent
        assert parent is not None
        if parent.role in OURS and not parent.dead:
            self.wake(parent)
        elif parent is self.init and self.careless:
            return
        elif parent.role not in ("program", "daemon", "login") or self.dice.random() < 0.7:
            self.reap(process)

    def reap(self, process: Process) -> None:
        """The kernel forgets it."""
        self.table.pop(process.pid, None)
        if process.parent is not None:
            process.parent.children.pop(process.pid, None)
            process.parent.reported.discard((process.pid, process.start))

    def inherit(self, handles: list[Handle], process: Process) -> None:
        """A process has these locks open too."""
        for handle in handles:
            handle.holders.add(process)
            process.handles.append(handle)

    def fall(self) -> None:
        """Everything stops at once, as in a power cut."""
        self.up = False
        for process in sorted(self.table.values(), key=lambda p: p.pid):
            if not process.dead:
                process.dead = True
                process.drop_logic()
                for handle in process.handles:
                    handle.leave(process)
                if process.body is not None:
                    process.signal = KILL
                    process.body.ended()
        self.table = {}
        self.doors = {}
