"""One simulated world: machines, the controller, users, faults, and the truth about what ran."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from afield.errors import AfieldError
from afield.model.attempt import Attempt
from afield.model.event import NodeAdded, Record
from afield.model.ids import JobNumber, NodeName
from afield.model.world import World as Model
from afield.runner import folder
from afield.testing.ledger import Asked, Blow, Held, History, Run, faults
from tests.sim.host import EPOCH, Host
from tests.sim.log import Log
from tests.sim.machine import Machine
from tests.sim.nodelink import NodeLink
from tests.sim.process import Process
from tests.sim.scenario import draw
from tests.sim.scheduler import Scheduler
from tests.sim.story import Story
from tests.sim.trouble import Shots, Trouble
from tests.sim.users import Users
from tests.sim.wires import Wire

SETTLE_S = 4 * 3600.0
MOST_EVENTS = 600_000


class World:
    """Everything of one seed; `only` are faults to have in place of the drawn ones."""

    def __init__(
        self, seed: int, scratch: Path, story: Story | None = None, only: Mapping[str, Any] | None = None
    ) -> None:
        self.scenario, self.faults = draw(seed)
        if only is not None:
            self.faults = replace(self.faults, **only)
        self.dice = random.Random(seed * 2 + 1)
        self.scheduler = Scheduler()
        self.story = story
        if story is not None:
            story.scheduler = self.scheduler
        self.store_id = "5" * 16
        self.digest = "d1"
        self.runs: list[Run] = []
        self.blows: list[Blow] = []
        self.errors: list[str] = []
        self.counts: dict[str, int] = {}
        self.unreachable: set[str] = set()
        self.skew: dict[str, float] = {}
        self.wires: list[tuple[str, Wire, NodeLink]] = []
        self.shots = Shots(self)
        self.machines = {name: Machine(self, name) for name in self.scenario.nodes}
        self.host = Host(self, scratch)
        self.users = Users(self)
        self.trouble = Trouble(self)
        self._looked = (0, 0)
        self._commits = 0
        self._settled = False
        self._log = Log()
        self.patience_s = SETTLE_S
        self.known_logins = 0.8
        """How many nodes know at the beginning what their login shell says."""

    # ---- a run

    def run(self) -> list[str]:
        """Everything that went wrong."""
        scheduler = self.scheduler
        self._know_nodes()
        for machine in self.machines.values():
            if self.dice.random() < self.known_logins:
                self._log_in(machine)
        self.host.start()
        self.users.begin()
        self.trouble.begin()
        ended = scheduler.now + self.scenario.busy
        scheduler.run(ended, lambda: False, MOST_EVENTS)
        self.trouble.end()
        done = scheduler.run(ended + self.patience_s, self.settled, MOST_EVENTS)
        if not done:
            self.wrong(f"not settled after {scheduler.now - ended:.0f} s and {scheduler.events} events")
        self.host.end()
        return [*self.errors, *self.host.loop.trouble, *faults(self.history()), *self._left()]

    def settled(self) -> bool:
        """Whether every job that was accepted has come to its end, and every user has had an answer."""
        if not self.users.content:
            return False
        if self._looked != (self.host.lives, self._commits):
            self._looked = (self.host.lives, self._commits)
            self._settled = not self.host.store.load().jobs
        return self._settled

    def history(self) -> History:
        """What the checkers look at."""
        jobs = self.host.store.jobs(limit=10**6)
        output: dict[tuple[int, int, int, str], Held] = {}
        mirror = self.host.mirror
        for job in jobs:
            for attempt in job.attempts:
                for stream in mirror.streams(str(attempt.id)):
                    inside, _, end = stream.partition("/")
                    if inside[0] == "p" and inside[1:].isdigit():
                        gaps = mirror.gaps(str(attempt.id), stream)
                        data = _whole(mirror, str(attempt.id), stream)
                        key = (int(job.number), attempt.id.number, int(inside[1:]), end)
                        output[key] = Held(data, tuple(dict(g) for g in gaps))
        mirror.close()
        asked = [Asked(key, number) for key, number in self.users.answers.items()]
        return History(jobs, self.runs, self.blows, asked, output, EPOCH)

    def _left(self) -> list[str]:
        # A login shell that hangs while both its watchers are killed is left: nothing on the disk tells of it.
        processes = [p for m in self.machines.values() for p in m.table.values() if p.role != "login"]
        left = [p for p in processes if p.mark and not p.dead]
        opened = [name for name, wire, _ in self.wires if wire.open]
        twice = sorted({name for name in opened if opened.count(name) > 1})
        return [f"{p.role} {p.mark} is left behind" for p in left] + [f"two links to {n} are open" for n in twice]

    def _know_nodes(self) -> None:
        events = [NodeAdded(NodeName(n), "local" if n == "local" else "ssh", target=n) for n in self.scenario.nodes]
        self.host.store.append(events, EPOCH, Model())

    def _log_in(self, machine: Machine) -> None:
        known = folder.dump({"path": "/bin", "at": self.wall(machine.name)})
        machine.disk.sync(machine.disk.fill(machine.paths.login, known))

    # ---- time and chance

    def moment(self) -> float:
        """How long a small thing takes; sometimes the machine is busy."""
        dice = self.dice
        if dice.random() < self.faults.stall:
            return dice.uniform(0.05, 3.0)
        return 0.0001 + dice.random() * 0.003

    def latency(self) -> float:
        """How long a frame is on the way."""
        return self.faults.latency * (0.5 + self.dice.random())

    def late(self) -> float:
        """How long something can be held up."""
        return self.dice.choice((0.05, 1.0, 5.0, 60.0)) * self.dice.random()

    def wall(self, name: str) -> float:
        """A node's own idea of UTC."""
        return EPOCH + self.scheduler.now + self.skew.get(name, 0.0)

    # ---- what happened

    def began(self, machine: Machine, process: Process, rank: int, kind: str) -> Run:
        """A process of a job runs: an entry of the ledger."""
        _, job, attempt, node, _ = process.mark.split(".")
        run = Run(int(job), int(attempt), rank, node, kind, began=self.scheduler.now)
        self.runs.append(run)
        if kind == "program":
            self._whole(f"{job}.{attempt}", machine)
        if self.story is not None:
            self.story.line(machine.name, f"LEDGER {job}.{attempt} {kind} {rank} begins as pid {process.pid}")
        return run

    def _whole(self, name: str, here: Machine) -> None:
        """A program of a gang runs: every other node of it must have said that it is ready."""
        job, _, number = name.partition(".")
        known = self.host.store.job(JobNumber(int(job)))
        attempts = [a for a in known.attempts if a.id.number == int(number)] if known is not None else []
        for node in {n for a in attempts for n in a.nodes} - {here.name}:
            other = self.machines[node]
            if other.disk.file(f"{other.paths.run(name)}/{folder.READY}") is None and not self._fell(node, attempts[0]):
                self.wrong(f"attempt {name} runs on {here.name}, and {node} was never ready")

    def _fell(self, node: str, attempt: Attempt) -> bool:
        """Whether a node lost power since an attempt was placed, and with it perhaps what it had said."""
        since = attempt.placed_at - EPOCH
        return any(b.what == "reboot" and b.node == node and b.at >= since for b in self.blows)

    def over(self, run: Run, code: int | None, signal: int | None) -> None:
        """It ended."""
        run.ended, run.code, run.signal = self.scheduler.now, code, signal
        if self.story is not None:
            ended = f"code {code}" if signal is None else f"signal {signal}"
            self.story.line(run.node, f"LEDGER {run.job}.{run.attempt} {run.kind} {run.rank} ends: {ended}")

    def committed(self, records: Sequence[Record]) -> None:
        """The store has more events."""
        self._commits += 1
        for record in records:
            self.scheduler.note(record.seq)
            if self.host.controller is not None:
                for said in self._log.read(record, self.host.controller.world):
                    self.wrong(said)
            if self.story is not None:
                self.story.event(record)

    def wrong(self, what: str) -> None:
        """Something that must never happen did."""
        self.errors.append(what)
        if self.story is not None:
            self.story.line("WRONG", what)

    def count(self, kind: str) -> None:
        """A fault was injected."""
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def blow(self, machine: Machine, what: str, attempt: str = "") -> None:
        """Something was done to a watcher or to a node."""
        self.blows.append(Blow(self.scheduler.now, machine.name, what, attempt))

    def kill(self, machine: Machine, process: Process, where: str) -> None:
        """SIGKILL, by us."""
        if process.dead:
            return
        self.count(f"kill {process.role}")
        if process.role in ("keeper", "shepherd"):
            self.blow(machine, process.role, process.attempt)
            if not self.faults.subreapers:  # then nobody inherits the program: there is one watcher only
                self.blow(machine, "keeper", process.attempt)
        elif process.role in ("program", "gate", "daemon"):
            self.blow(machine, "program", process.attempt)
        if self.story is not None:
            self.story.line(machine.name, f"KILL {process.role} {process.attempt} pid {process.pid} {where}")
        machine.exit(process, None, 9)

    def pause(self, process: Process, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later; not when everything is to work again."""
        if self.trouble.dead:
            return
        process.paused = True
        self.scheduler.after(seconds, self.trouble, self.scheduler.resume, process)

    # ---- what nodes say of themselves

    def hello(self, machine: Machine, digest: str) -> dict[str, Any]:
        """As runner/verbs.py says hello."""
        return {
            "version": digest,
            "python": "3.11.0",
            "boot": machine.boot_id,
            "machine": machine.name,
            "uid": 1000,
            "user": "ann",
            "home": "/h",
            "host": machine.name,
            "root": "/n",
            "runroot": "/n",
            "fs": "local",
        }

    def probe(self, machine: Machine) -> dict[str, Any]:
        """As runner/probe.py answers."""
        devices = [
            {"id": f"GPU-{machine.name}-{n}", "model": "a100", "index": n, "memory_bytes": 1 << 30, "busy": ""}
            for n in range(self.scenario.devices)
        ]
        return {"cpu": 4, "memory_bytes": 1 << 33, "disk_free_bytes": 1 << 37, "devices": devices, "uv": "0.20.0"}


def _whole(mirror: Any, attempt: str, stream: str) -> bytes:
    data, at = b"", 0
    while True:
        part, after = mirror.read(attempt, stream, at, 1 << 20)
        if not part:
            return data
        data, at = data + part, after


def told(error: AfieldError) -> str:
    """An error in a few words."""
    return f"{error.code}: {error.what}"
