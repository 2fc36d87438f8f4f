"""Taking jobs in: all or none, each at most once by its submit key, nothing that can never run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
from afield.plan.place import impossible
from afield.store.port import Store
from afield.store.writer import Writer


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

    def __init__(self, store: Store, world: World, writer: Writer) -> None:
        self._store = store
        self._world = world
        self._writer = writer
        self._next = store.next_job()
        self._taking: dict[tuple[str, str], tuple[JobNumber, str]] = {}

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool) -> list[Job]:
        """The jobs as accepted (or, with `dry_run`, as they would be). Raises NothingFits, Conflict, StoreRefused."""
        known = [self._known(s) for s in submissions]
        fresh = [s for s, number in zip(submissions, known, strict=True) if number is None]
        for word in {w for s in fresh for w in s.nodes}:
            self._check_named(word)
        for shape in {(s.request, s.nodes) for s in fresh}:
            if (error := impossible(*shape, self._world)) is not None:
                raise error
        if dry_run:
            return [_as_job(s, JobNumber(0)) for s in submissions]
        numbers = [n if n is not None else self._take(s) for s, n in zip(submissions, known, strict=True)]
        taken = {(s.user, s.key) for s in fresh}
        try:
            await self._writer.append([s.event(self._taking[s.user, s.key][0]) for s in fresh])
        finally:
            for key in taken:
                self._taking.pop(key, None)
        return [self._find(number) for number in numbers]

    def _check_named(self, word: str) -> None:
        """Refuse the name of a node that is none, with the nearest one; patterns and backends may come to be."""
        names = {n.name for n in self._world.nodes.values()} | {n.slice for n in self._world.nodes.values()}
        if word not in names and "*" not in word and ":" not in word:
            raise views.unknown_node(word, [str(n) for n in self._world.nodes])

    def _known(self, submission: Submission) -> JobNumber | None:
        key = (submission.user, submission.key)
        found = self._taking.get(key) or self._store.by_key(*key)
        if found is None:
            return None
        number, body = found
        if body != submission.body:
            raise Conflict(
                f"submit key {submission.key} was used for job {number} with other contents",
                hints=["make a new key for a new job"],
            )
        return JobNumber(number)

    def _take(self, submission: Submission) -> JobNumber:
        number = JobNumber(self._next)
        self._next = JobNumber(number + 1)
        self._taking[submission.user, submission.key] = (number, submission.body)
        return number

    def _find(self, number: JobNumber) -> Job:
        job = self._world.jobs.get(number) or self._store.job(number)
        assert job is not None, f"job {number} was accepted and is gone"
        return job


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
