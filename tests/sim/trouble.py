"""The faults of a seed, when they strike, and their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from afield.runner import folder
from tests.sim.loop import VirtualLoop
from tests.sim.machine import Machine
from tests.sim.process import Process
from tests.sim.scheduler import Handle

if TYPE_CHECKING:
    from tests.sim.world import World

REACH = {"keeper": 200, "shepherd": 400, "clerk": 300}
"""So many effects of a role are counted out: most kills fall between its first and its last."""
BOOT_S = (0.5, 5.0, 40.0)


class Shots:
    """Kills that fall at the n-th effect of a role, or at the n-th step of the controller."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.armed = False
        self._next: dict[str, list[int]] = {}
        self._labelled: dict[str, list[int]] = {}
        self._seen: dict[str, int] = {}
        self._steps: list[int] = []

    def draw(self) -> None:
        """From the seed's faults."""
        dice = self._world.dice
        for role, count in self._world.faults.kills.items():
            if role in REACH and dice.random() < 0.5:
                self._labelled[role] = sorted({dice.randint(1, 40) for _ in range(count)})
            elif role in REACH:
                most = dice.choice((20, REACH[role], 3 * REACH[role]))
                self._next[role] = sorted({dice.randint(1, most) for _ in range(count)})
            elif role == "controller":
                self._steps = sorted({dice.randint(1, dice.choice((40, 400, 1500))) for _ in range(count)})
        self.armed = bool(self._next or self._labelled)

    def passing(self, role: str, label: str) -> str:
        """A process of a role does one more thing: "", or when it is to die, `before` or `after`."""
        shots, key = (self._next.get(role), role) if role in self._next else (self._labelled.get(role), label and role)
        if not shots or not key:
            return ""
        self._seen[role] = self._seen.get(role, 0) + 1
        if self._seen[role] != shots[0]:
            return ""
        shots.pop(0)
        return self._world.dice.choice(("before", "after"))

    def load(self, loop: VirtualLoop) -> None:
        """A new life of the controller: the next kill falls within it."""
        if self._steps:
            loop.shots[self._steps.pop(0)] = self._controller

    def _controller(self) -> None:
        self._world.count("kill controller")
        self._world.host.kill()

    def end(self) -> None:
        """No more."""
        self.armed = False
        self._next.clear()
        self._labelled.clear()
        self._steps.clear()
        self._world.host.loop.shots.clear()


class Trouble:
    """Faults that come at a time. It is the owner of its own timers: they end with it."""

    def __init__(self, world: World) -> None:
        self.dead = False
        self.paused = False
        self.backlog: list[Handle] = []
        self._world = world

    def begin(self) -> None:
        """Draws the times."""
        world, dice = self._world, self._world.dice
        world.shots.draw()
        kinds: dict[str, Callable[[], None]] = {
            "cut": self._cut,
            "mute": self._mute,
            "unreachable": self._unreachable,
            "power cut": lambda: self._fall(True),
            "reboot": lambda: self._fall(False),
            "disk full": self._full,
            "store full": self._store_full,
            "clock": self._clock,
            "pause": self._pause,
            "slow keeper": self._slow_keeper,
            "clean": self._clean,
            "upgrade": self._upgrade,
        }
        for kind, count in world.faults.timed.items():
            for _ in range(count):
                world.scheduler.after(dice.uniform(0, world.scenario.busy), self, kinds[kind])
        for role, count in world.faults.kills.items():
            for _ in range(count):
                world.scheduler.after(dice.uniform(0, world.scenario.busy), self, self._kill, role)

    def end(self) -> None:
        """Everything works again from here on; what was broken is mended by itself or by us."""
        world = self._world
        world.shots.end()
        world.unreachable.clear()
        world.host.store.full = False
        for machine in world.machines.values():
            machine.disk.room = None
            if not machine.up:
                machine.boot()
            for process in list(machine.table.values()):
                if process.paused:
                    world.scheduler.resume(process)
        if world.host.controller is not None and world.host.loop.paused:
            world.scheduler.resume(world.host.loop)
        self.dead = True

    def _machine(self) -> Machine:
        return self._world.machines[self._world.dice.choice(self._world.scenario.nodes)]

    def _later(self, choices: tuple[float, ...], call: Callable[[], None]) -> None:
        seconds = self._world.dice.choice(choices) * (0.5 + self._world.dice.random())
        self._world.scheduler.after(seconds, self, call)

    def _said(self, kind: str, text: str) -> None:
        self._world.count(kind)
        if self._world.story is not None:
            self._world.story.line("FAULT", f"{kind} {text}")

    # ---- processes

    def _kill(self, role: str) -> None:
        world = self._world
        if role == "controller":
            if world.host.controller is not None:
                world.count("kill controller")
                world.host.kill()
            return
        machine = self._machine()
        if role == "both":
            for process in self._of(machine, ("keeper", "shepherd")):
                world.kill(machine, process, "with the other watchers")
            return
        roles = ("program", "gate", "daemon") if role == "program" else (role,)
        victims = self._of(machine, roles)
        if victims:
            world.kill(machine, world.dice.choice(victims), "at a time")

    def _of(self, machine: Machine, roles: tuple[str, ...]) -> list[Process]:
        found = [p for p in machine.table.values() if p.role in roles and not p.dead]
        return sorted(found, key=lambda p: p.pid)

    def _pause(self) -> None:
        world = self._world
        seconds = world.late()
        if world.dice.random() < 0.3 and world.host.controller is not None:
            loop = world.host.loop
            self._said("pause", f"of the controller for {seconds:.1f} s")
            loop.paused = True
            world.scheduler.after(seconds, self, world.scheduler.resume, loop)
            return
        machine = self._machine()
        found = self._of(machine, ("keeper", "shepherd", "link", "clerk"))
        if found:
            process = world.dice.choice(found)
            self._said("pause", f"of {process.role} {process.attempt} on {machine.name} for {seconds:.1f} s")
            world.pause(process, seconds)

    def _slow_keeper(self) -> None:
        """A shepherd is killed while its keeper does not run: all others come before it to what is left."""
        world, machine = self._world, self._machine()
        keepers, shepherds = self._of(machine, ("keeper",)), self._of(machine, ("shepherd",))
        if keepers and shepherds:
            seconds = world.late()
            self._said("slow keeper", f"on {machine.name} for {seconds:.1f} s")
            for keeper in keepers:
                world.pause(keeper, seconds)
            world.kill(machine, world.dice.choice(shepherds), "behind its keeper's back")

    # ---- connections

    def _cut(self) -> None:
        world = self._world
        if world.wires:
            name, wire, _ = world.dice.choice(world.wires[-3:])
            self._said("cut", f"of the connection to {name}")
            wire.cut()

    def _mute(self) -> None:
        world = self._world
        if world.wires:
            name, wire, _ = world.dice.choice(world.wires[-3:])
            which = world.dice.choice(("up", "down", "both"))
            self._said("mute", f"of the connection to {name}, {which}")
            wire.mute(which)

    def _unreachable(self) -> None:
        world = self._world
        name = self._machine().name
        self._said("unreachable", name)
        world.unreachable.add(name)
        for other, wire, _ in world.wires:
            if other == name:
                wire.cut()
        self._later((1.0, 10.0, 100.0), lambda: world.unreachable.discard(name))

    # ---- machines

    def _fall(self, power: bool) -> None:
        world, machine = self._world, self._machine()
        if not machine.up:
            return
        self._said("power cut" if power else "reboot", machine.name)
        world.blow(machine, "reboot")
        machine.fall()
        if power:
            machine.disk.power_cut(world.dice)
        else:
            machine.disk.ears.clear()
        for name, wire, _ in world.wires:
            if name == machine.name:
                wire.mute("both")
                wire.down.mute = power
                wire.down.close()
        self._later(BOOT_S, lambda: None if machine.up else machine.boot())

    def _clean(self) -> None:
        """Retention: run folders of attempts that ran and were acknowledged go, and launches of them may still come."""
        machine = self._machine()
        for name in machine.disk.names(machine.paths.runs) if machine.up else ():
            run = machine.paths.run(name)
            inside = machine.disk.names(run)
            if folder.ACKED in inside and machine.disk.file(run + "/p0/" + folder.STARTED) is not None:
                self._said("clean", f"{name} on {machine.name}")
                machine.disk.remove(run)

    def _upgrade(self) -> None:
        """From the next connection on, another version of the runner."""
        self._world.digest = self._world.dice.choice(("d1", "d2"))
        self._said("upgrade", f"to {self._world.digest}")

    def _full(self) -> None:
        machine = self._machine()
        self._said("disk full", machine.name)
        machine.disk.room = self._world.dice.choice((0, 0, 300, 3000))
        self._later((0.5, 5.0, 50.0), lambda: setattr(machine.disk, "room", None))

    def _store_full(self) -> None:
        world = self._world
        self._said("store full", "")
        world.host.store.full = True
        self._later((0.5, 5.0), lambda: setattr(world.host.store, "full", False))

    def _clock(self) -> None:
        world, name = self._world, self._machine().name
        world.skew[name] = world.dice.choice((-86400.0, -30.0, 5.0, 7200.0, 86400.0 * 400))
        self._said("clock", f"of {name} is off by {world.skew[name]:.0f} s")
