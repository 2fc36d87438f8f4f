"""What one transaction is going to change, folded beside the world and not yet in it.

Nouns are frozen values, so a draft copies only the entries that its events touch. It is published into the world after
the commit; a commit that fails leaves nothing to undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from afield.errors import Conflict, Fault
from afield.model import event as ev
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.model.machine import fold
from afield.model.node import Node
from afield.model.world import World


class Known(Protocol):
    """What a draft asks the store: is this number or key taken?"""

    def job(self, number: JobNumber) -> Job | None:
        """Any job."""

    def next_job(self) -> JobNumber:
        """The lowest number above all jobs."""

    def by_key(self, user: str, key: str) -> tuple[JobNumber, str] | None:
        """The job of a submit key and the hash of its body."""


class Draft:
    """Records to be, and the nouns that they touch as they will be. The world must not change under it."""

    def __init__(self, world: World, known: Known) -> None:
        self._base = world
        self._known = known
        self._next = World(seq=world.seq, now=world.now)
        self._jobs: dict[JobNumber, Job | None] = {}
        self._nodes: dict[NodeName, Node | None] = {}
        self._keys: set[tuple[str, str]] = set()
        self.records: list[ev.Record] = []

    @property
    def after(self) -> int:
        """The cursor that the draft builds on."""
        return self._base.seq

    @property
    def jobs(self) -> dict[JobNumber, Job | None]:
        """The touched jobs as they will be."""
        return self._jobs

    @property
    def nodes(self) -> dict[NodeName, Node | None]:
        """The touched nodes as they will be; None is one to be removed."""
        return self._nodes

    @property
    def submitted(self) -> list[ev.JobSubmitted]:
        """The submissions among the records."""
        return [r.event for r in self.records if isinstance(r.event, ev.JobSubmitted)]

    def add(self, events: Sequence[ev.Event], at: float) -> list[ev.Record]:
        """Fold events in, all or none; their records. Raises IllegalMove, Conflict for a submit key that is taken."""
        fresh = World(seq=self._next.seq, now=self._next.now)
        jobs: dict[JobNumber, None] = {}
        nodes: dict[NodeName, None] = {}
        records = []
        keys: set[tuple[str, str]] = set()
        for event in events:
            self._take(fresh, event, jobs, nodes)
            if isinstance(event, ev.JobSubmitted):
                self._check_new(event, fresh, keys)
            record = ev.Record(fresh.seq + 1, at, event)
            fold(fresh, record)
            records.append(record)
        self._next = fresh
        self._jobs.update({number: fresh.jobs.get(number) for number in jobs})
        self._nodes.update({name: fresh.nodes.get(name) for name in nodes})
        self._keys |= keys
        self.records += records
        return records

    def publish(self) -> None:
        """Put what was committed into the world."""
        world = self._base
        world.seq, world.now = self._next.seq, self._next.now
        for number, job in self._jobs.items():
            if job is not None:
                world.jobs[number] = job
        for name, node in self._nodes.items():
            if node is None:
                world.nodes.pop(name, None)
            else:
                world.nodes[name] = node

    def _take(self, fresh: World, event: ev.Event, jobs: dict[JobNumber, None], nodes: dict[NodeName, None]) -> None:
        """Copy what the event touches into `fresh`, from the draft or else from the world; note it in their order."""
        if isinstance(event, ev.NodeAdded | ev.NodeSet | ev.NodeObserved | ev.NodeRemoved):
            name = event.node
            if name not in nodes:
                nodes[name] = None
                node = self._nodes[name] if name in self._nodes else self._base.nodes.get(name)
                if node is not None:
                    fresh.nodes[name] = node
            return
        number = _job_of(event)
        if number not in jobs:
            jobs[number] = None
            job = self._jobs[number] if number in self._jobs else self._base.jobs.get(number)
            if job is not None:
                fresh.jobs[number] = job

    def _check_new(self, event: ev.JobSubmitted, fresh: World, keys: set[tuple[str, str]]) -> None:
        if event.job in fresh.jobs or (event.job < self._known.next_job() and self._known.job(event.job)):
            raise Fault(f"job number {event.job} was given twice")
        found = self._known.by_key(event.user, event.key)
        if found is not None or (event.user, event.key) in keys | self._keys:
            owner = f"job {found[0]}" if found else "another job of this moment"
            raise Conflict(f"submit key {event.key} was used for {owner}", hints=["make a new key for a new job"])
        keys.add((event.user, event.key))


def _job_of(event: ev.Event) -> JobNumber:
    if isinstance(event, ev.JobSubmitted | ev.GoalSet | ev.JobHeld | ev.JobReleased | ev.JobDecided):
        return event.job
    assert not isinstance(event, ev.NodeAdded | ev.NodeSet | ev.NodeObserved | ev.NodeRemoved)
    return event.attempt.job
