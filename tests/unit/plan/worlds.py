"""Worlds for tests: told as a story of events, checked after each of them."""

from __future__ import annotations

from typing import Any

from afield.model import event as ev
from afield.model.action import Action, Decide, Hold, Launch, OrderStop, Place, Stop
from afield.model.attempt import Exited
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import Goal, Job
from afield.model.machine import fold
from afield.model.node import Capacity, Device, Health
from afield.model.policy import Policy
from afield.model.request import parse
from afield.model.task import Task
from afield.model.world import World
from afield.plan.step import step

G = 1 << 30


def devices(*models: str, busy: tuple[int, ...] = ()) -> tuple[Device, ...]:
    return tuple(Device(f"{m}#{i}", m, i, 16 * G, "ana 77" if i in busy else "") for i, m in enumerate(models))


class Story:
    """A world and the events that made it; every event is followed by `World.check`."""

    def __init__(self) -> None:
        self.world = World()
        self.records: list[ev.Record] = []
        self.now = 1000.0
        self.outcomes: dict[AttemptId, object] = {}
        self.ends: dict[JobNumber, object] = {}

    def tell(self, *events: ev.Event) -> None:
        for event in events:
            record = ev.Record(len(self.records) + 1, self.now, event)
            self.records.append(record)
            fold(self.world, record)
            self.world.check()
            self._check_final()

    def _check_final(self) -> None:
        """What has ended never changes."""
        for job in self.world.jobs.values():
            for attempt in job.attempts:
                if attempt.outcome is not None:
                    assert self.outcomes.setdefault(attempt.id, attempt.outcome) == attempt.outcome
            if job.decided is not None:
                assert self.ends.setdefault(job.number, job.decided) == job.decided

    def node(self, name: str, *models: str, health: Health = Health.READY, **more: Any) -> NodeName:
        node = NodeName(name)
        self.tell(
            ev.NodeAdded(node, more.pop("backend", "ssh"), slice=more.pop("slice", "")),
        )
        capacity = Capacity(
            cpu=more.pop("cpu", 8.0),
            memory_bytes=more.pop("memory", 64) * G,
            disk_bytes=more.pop("disk", 100) * G,
            devices=devices(*models, busy=more.pop("busy", ())),
        )
        assert not more, more
        if health is not Health.NEW:
            self.tell(ev.NodeObserved(node, Health.READY, capacity=capacity, machine_id=name))
        if health not in (Health.NEW, Health.READY):
            self.tell(ev.NodeObserved(node, health, detail=f"{name} said so", hints=(f"mend {name}",)))
        return node

    def submit(self, request: str = "[]", *nodes: str, policy: Policy = Policy.PASS, priority: int = 0) -> JobNumber:
        number = JobNumber(1 + max([*self.world.jobs, *self.ends], default=0))
        body = ev.JobSubmitted(
            number, f"k{number}", "", f"j{number}", "ana", Task(("true",)), parse(request), policy, priority, nodes
        )
        self.tell(body)
        return number

    def job(self, number: int) -> Job:
        return self.world.jobs[JobNumber(number)]

    def step(self) -> list[Action]:
        """The plan now, with what it records recorded."""
        actions = step(self.world, self.now)
        named = [a.attempt for a in actions if isinstance(a, Place | Launch | OrderStop | Stop)]
        assert len(named) == len(set(named)), "one thing at a time for each attempt"
        for action in actions:
            match action:
                case Place(attempt, placements):
                    self.tell(ev.AttemptPlaced(attempt, Nonce(f"n{attempt}"), placements))
                case OrderStop(attempt, why):
                    self.tell(ev.StopOrdered(attempt, why))
                case Decide(job, outcome):
                    self.tell(ev.JobDecided(job, outcome))
                case Hold(job, reason, until):
                    self.tell(ev.JobHeld(job, reason, until))
        return actions

    def start(self, number: int) -> AttemptId:
        """The job's live attempt runs from now on; it is placed first if need be."""
        if self.job(number).live is None:
            self.step()
        live = self.job(number).live
        assert live is not None, f"job {number} was not placed"
        self.tell(ev.PrepareStarted(live.id), ev.AttemptStarted(live.id))
        return live.id

    def exit(self, number: int, code: int = 0, **more: Any) -> None:
        live = self.job(number).live
        assert live is not None
        exits = tuple(Exited(p.rank, code) for p in live.placements)
        self.tell(ev.AttemptExited(live.id, exits, **more))

    def lose(self, number: int, *, preempted: bool = False) -> None:
        live = self.job(number).live
        assert live is not None
        self.tell(ev.AttemptGone(live.id, preempted, "reboot"))

    def never_start(self, number: int) -> None:
        live = self.job(number).live
        assert live is not None
        self.tell(ev.NeverStarted(live.id, "device gpu0 is held by job 9"))

    def stop(self, number: int) -> None:
        self.tell(ev.GoalSet(JobNumber(number), Goal.STOP, "ana"))

    def where(self, number: int) -> list[tuple[str, tuple[str, ...]]]:
        """Node and devices of each process of the live attempt."""
        live = self.job(number).live
        return [(str(p.node), p.devices) for p in live.placements] if live is not None else []
