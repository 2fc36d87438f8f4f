"""Taking jobs in: all or none, each at most once by its submit key, nothing that can never run."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from afield.controller import views
from afield.errors import Conflict
from afield.model.event import JobSubmitted
from afield.model.ids import JobNumber
from afield.model.job import Job
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task
from afield.model.world import World
from afield.plan.need import needs, table, verdicts
from afield.plan.place import impossible
from afield.store.port import Store
from afield.store.writer import Writer

Key = tuple[str, str]
"""A user and a submit key."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a person asks for. `key` was made before the first try, so that asking again is safe."""

    key: str
    name: str
    user: str
    task: Task
    request: Request
    policy: Policy = Policy.PASS
    priority: int = 0
    nodes: tuple[str, ...] = ()

    @property
    def id(self) -> Key:
        """What makes it one and the same, however often it is asked for."""
        return self.user, self.key

    @property
    def body(self) -> str:
        """Hash of what is asked, so that a key cannot be used for something else."""
        parts = (self.name, self.task, self.request, self.policy, self.priority, self.nodes)
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def event(self, number: JobNumber) -> JobSubmitted:
        """The fact that this was accepted under a number."""
        return JobSubmitted(
            job=number,
            key=self.key,
            body=self.body,
            name=self.name,
            user=self.user,
            task=self.task,
            request=self.request,
            policy=self.policy,
            priority=self.priority,
            nodes=self.nodes,
        )


class Intake:
    """The only place where job numbers are given."""

    def __init__(self, store: Store, world: World, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._store = store
        self._world = world
        self._writer = writer
        self._next = store.next_job()
        self._taking: dict[Key, asyncio.Event] = {}
        """What is being stored right now, and what to wait on until it is."""

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool) -> list[Job]:
        """The jobs as accepted (or, with `dry_run`, as they would be). Raises NothingFits, Conflict, StoreRefused."""
        while under_way := [self._taking[s.id] for s in submissions if s.id in self._taking]:
            await under_way[0].wait()
        known = {s.id: number for s in submissions if (number := self._known(s)) is not None}
        fresh = _unique([s for s in submissions if s.id not in known])
        for word in {w for s in fresh.values() for w in s.nodes}:
            self._check_named(word)
        for shape in {(s.request, s.nodes) for s in fresh.values()}:
            if (error := impossible(*shape, self._world)) is not None:
                raise table(error, verdicts(*shape, self._world, self._clock())) if needs(shape[0]) else error
        if dry_run:
            return [_as_job(s, JobNumber(0)) for s in submissions]
        numbers = known | {key: self._number() for key in fresh}
        await self._store_all({key: s.event(numbers[key]) for key, s in fresh.items()})
        return [self._find(numbers[s.id]) for s in submissions]

    async def _store_all(self, events: Mapping[Key, JobSubmitted]) -> None:
        """Store them, whoever waits for it: a caller that left does not make a key free before its fate is known."""
        stored = asyncio.Event()
        self._taking |= dict.fromkeys(events, stored)

        def done(_: object) -> None:
            for key in events:
                del self._taking[key]
            stored.set()

        storing = asyncio.ensure_future(self._writer.append(list(events.values())))
        storing.add_done_callback(done)
        await asyncio.shield(storing)

    def _check_named(self, word: str) -> None:
        """Refuse the name of a node that is none, with the nearest one; patterns and backends may come to be."""
        names = {n.name for n in self._world.nodes.values()} | {n.slice for n in self._world.nodes.values()}
        if word not in names and "*" not in word and ":" not in word:
            raise views.unknown_node(word, [str(n) for n in self._world.nodes], f"afield node add {word}")

    def _known(self, submission: Submission) -> JobNumber | None:
        found = self._store.by_key(*submission.id)
        if found is None:
            return None
        number, body = found
        if body != submission.body:
            raise _used(submission.key, f"for job {number}")
        return JobNumber(number)

    def _number(self) -> JobNumber:
        number = self._next
        self._next = JobNumber(number + 1)
        return number

    def _find(self, number: JobNumber) -> Job:
        job = self._world.jobs.get(number) or self._store.job(number)
        assert job is not None, f"job {number} was accepted and is gone"
        return job


def _unique(submissions: Sequence[Submission]) -> dict[Key, Submission]:
    """Each key once, in order. Raises Conflict when one names two things."""
    found: dict[Key, Submission] = {}
    for submission in submissions:
        if found.setdefault(submission.id, submission).body != submission.body:
            raise _used(submission.key, "twice")
    return found


def _used(key: str, where: str) -> Conflict:
    return Conflict(f"submit key {key} was used {where} with other contents", hints=["make a new key for a new job"])


def _as_job(submission: Submission, number: JobNumber) -> Job:
    return Job(
        number=number,
        key=submission.key,
        name=submission.name,
        user=submission.user,
        task=submission.task,
        request=submission.request,
        policy=submission.policy,
        submitted_at=0.0,
        priority=submission.priority,
        nodes=submission.nodes,
    )
