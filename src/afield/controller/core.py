"""The controller: world -> plan -> effects -> events. One loop; may be killed at any line and started again.

It knows no HTTP. All its state is the store's; what is in memory beside the world is only what nodes said last.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from afield.backends.port import Backend
from afield.controller import views
from afield.controller.effects import Effects
from afield.controller.fleet import Fleet
from afield.controller.follow import Frame, News, Sources, follow
from afield.controller.launch import Launcher, machine_line
from afield.controller.results import Have, results
from afield.controller.session import Session
from afield.controller.settle import Order, assess, concluded
from afield.controller.submit import Intake, Submission
from afield.controller.watch import Watch
from afield.errors import NotFound, StoreRefused
from afield.model import action as act
from afield.model import event as ev
from afield.model.attempt import Attempt, State
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import Goal, Job
from afield.model.machine import forget
from afield.model.world import World
from afield.plan.explain import Explainer, explain
from afield.plan.step import step
from afield.store.output import Mirror
from afield.store.port import Store
from afield.store.writer import Writer

log = logging.getLogger(__name__)

STORE_AGAIN_S = 2.0
"""Before we try to write again when the store refused (disk full)."""


class Controller:
    """Jobs, nodes and their followers. `store` is open and belongs to this process."""

    def __init__(self, store: Store, mirror: Mirror, cache: Path, backends: dict[str, Backend]) -> None:
        self.store = store
        self.store_id = store.id
        self.world: World = store.load()
        self._writer = Writer(store, self.world, on_commit=self._committed)
        self._stopping: set[AttemptId] = set()
        self._dirty: set[AttemptId] = {a.id for j in self.world.jobs.values() for a in j.attempts}
        self._changed = asyncio.Event()
        self._news = News()
        self._watch = Watch(mirror, self._mark, self._output)
        self.fleet = Fleet(store.id, self.world, backends, self)
        launcher = Launcher(store.id, cache, self._watch, self.world)
        self._effects = Effects(launcher, self.fleet.find, self.record, self._mark)
        self._intake = Intake(store, self.world, self._writer)
        self._task: asyncio.Task[None] | None = None
        self.idle_since: float | None = time.monotonic()

    async def start(self) -> None:
        """Begin: nodes are connected, what runs is followed, what waits is placed."""
        await self.fleet.start()
        self._task = asyncio.create_task(self._loop(), name="controller")

    async def close(self) -> None:
        """Stop looking. No job and no node is touched."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._effects.close()
        await self.fleet.close()
        await self._writer.close()
        self.store.close()

    # what people ask

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool = False) -> list[views.View]:
        """Accept jobs, all or none; a repeated key with the same body gives the job it made before.

        Raises NothingFits, Conflict, StoreRefused; nothing is stored then.
        """
        return [self._view(job) for job in await self._intake.submit(submissions, dry_run=dry_run)]

    async def stop_job(self, number: int, by: str) -> views.View:
        """Wish a job stopped; stopping one that has ended changes nothing."""
        job = self._find(number)
        if job.decided is None and job.goal is Goal.RUN:
            await self.record(ev.GoalSet(job.number, Goal.STOP, by))
        return self._view(self._find(number))

    async def release_job(self, number: int, by: str) -> views.View:
        """Lift a hold."""
        job = self._find(number)
        if job.decided is None and (job.hold or job.not_before):
            await self.record(ev.JobReleased(job.number, by))
        return self._view(self._find(number))

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[views.View]:
        """Newest first; the unfinished ones, and with `all` the ended ones too."""
        found = self.store.jobs(unfinished_only=not all, limit=limit)
        now = time.time()
        explainer = Explainer(self.world, now)
        return [
            views.job_view(self.world.jobs.get(j.number, j), self.world, now, reason=explainer.reason) for j in found
        ]

    def job(self, number: int) -> views.View:
        """One job. Raises NotFound."""
        return self._view(self._find(number))

    def submission(self, number: int) -> Submission:
        """What was asked for when the job was submitted, under a new key's place: `key` is empty."""
        job = self._find(number)
        return Submission(
            key="",
            name=job.name,
            user=job.user,
            task=job.task,
            request=job.request,
            policy=job.policy,
            priority=job.priority,
            nodes=job.nodes,
        )

    def output(self, number: int, attempt: int | None, stream: str, start: int, length: int) -> bytes:
        """At most `length` mirrored bytes of a stream such as `p0/out`; None is the newest attempt; b"" at the end."""
        job = self._find(number)
        wanted = attempt or len(job.attempts)
        data, _ = self._watch.mirror.read(f"{job.number}.{wanted}", stream, start, length)
        return data

    def why(self, number: int) -> dict[str, Any]:
        """Why a job is where it is: for a queued one what binds, who holds it, what would start it now."""
        job = self._find(number)
        view = self._view(job)
        if not job.waiting:
            return {"schema": 1, "job": number, "reason": view["reason"] or view["phase"], "lines": [], "view": view}
        told = explain(job, self.world, time.time())
        return {
            "schema": 1,
            "job": number,
            "reason": told.reason,
            "binds": list(told.binds),
            "held_by": list(told.held_by),
            "would_start": list(told.would_start),
            "lines": list(told.lines),
            "view": view,
        }

    async def follow(self, number: int, cursors: dict[str, int], *, follow_on: bool = True) -> AsyncIterator[Frame]:
        """News and output of a job from cursors until its end."""
        self._find(number)
        sources = Sources(self._find, self._view, self._watch)
        async for frame in follow(sources, self._news, JobNumber(number), cursors, stay=follow_on):
            yield frame

    async def results(self, number: int, have: Have) -> AsyncIterator[Frame]:
        """The result files of a job's last attempt. Raises NotFound before it has run."""
        job = self._find(number)
        if job.last is None:
            raise NotFound(f"job {number} has no results yet", why=f"it is {job.phase}", hints=[f"afield why {number}"])
        async for frame in results(job.last, self.fleet.find, have):
            yield frame

    def overview(self) -> dict[str, Any]:
        """Counts for a one-screen status."""
        phases: dict[str, int] = {}
        for job in self.world.jobs.values():
            phases[str(job.phase)] = phases.get(str(job.phase), 0) + 1
        return {
            "schema": 1,
            "jobs": phases,
            "nodes": [views.node_view(n, self.world) for n in self.world.nodes.values()],
        }

    async def events(self, since: int) -> AsyncIterator[ev.Record]:
        """The log from a cursor, then live."""
        async for record in self._writer.follow(since):
            yield record

    # what sessions and effects tell

    async def record(self, *events: ev.Event) -> None:
        """Append events in one transaction. Raises StoreRefused."""
        await self._writer.append(events)

    async def connected(self, session: Session) -> None:
        """A node answers again: follow what runs there, and mend what its folders say."""
        self._effects.forget_node(session.name)
        for job in list(self.world.jobs.values()):
            for attempt in job.attempts:
                if not attempt.acked and session.name in attempt.nodes:
                    await self._follow_folder(attempt, session)

    def pushed(self, node: NodeName, head: Mapping[str, Any], data: bytes) -> None:
        """A node said something by itself."""
        if AttemptId.parse(head["attempt"]).job in self.world.jobs:
            self._watch.pushed(node, head, data)

    async def _follow_folder(self, attempt: Attempt, session: Session) -> None:
        if attempt.state is State.PLACED:
            return
        link = await session.link()
        cursors = self._watch.cursors(attempt.id, session.name)
        facts, _ = await link.call("watch", attempt=str(attempt.id), cursors=cursors)
        self._watch.heard(attempt.id, session.name, facts["facts"])

    # the loop

    async def _loop(self) -> None:
        while True:
            self._changed.clear()
            try:
                wake = await self._turn()
            except StoreRefused as error:
                log.error("%s (%s)", error.what, error.why)
                wake = time.time() + STORE_AGAIN_S
            self._note_idle()
            await self._pause(wake)

    async def _turn(self) -> float | None:
        await self._settle()
        events: list[ev.Event] = []
        after: list[act.Action] = []
        wake: float | None = None
        for action in step(self.world, time.time(), elastic=self.fleet.elastic):
            if isinstance(action, act.Wake):
                wake = action.at if wake is None else min(wake, action.at)
            elif (event := self._as_event(action)) is not None:
                events.append(event)
            else:
                after.append(action)
        events += [ev.PrepareStarted(a.attempt) for a in after if isinstance(a, act.Launch) and self._is_placed(a)]
        if events:
            await self.record(*events)
        for action in after:
            self._perform(action)
        return wake

    async def _settle(self) -> None:
        """Turn what nodes said since the last turn into events and orders."""
        events: list[ev.Event] = []
        dirty, self._dirty = self._dirty, set()
        for id in dirty:
            job = self.world.jobs.get(id.job)
            if job is None or id.number > len(job.attempts):
                continue
            attempt = job.attempts[id.number - 1]
            if attempt.live and attempt.state is not State.PLACED:
                tracker = self._watch.tracker(id)
                found = assess(attempt, job.task.end, tracker.known, tracker.broken)
                events += concluded(job, [self._quoted(e) for e in found.events])
                for order in found.orders:
                    self._effects.order(job, attempt, order, self._fields(attempt, order))
        if events:
            await self.record(*events)

    def _as_event(self, action: act.Action) -> ev.Event | None:
        match action:
            case act.Place(attempt, placements):
                return ev.AttemptPlaced(attempt, Nonce(secrets.token_hex(16)), placements)
            case act.OrderStop(attempt, why):
                return ev.StopOrdered(attempt, why)
            case act.Decide(job, outcome):
                return ev.JobDecided(job, outcome)
            case act.Hold(job, reason, until):
                return ev.JobHeld(job, reason, until)
        return None

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Launch(id):
                job, attempt = self._attempt(id)
                if not any(s.stage == "machine" for s in self._watch.stages(id)):
                    self._watch.stage(id, machine_line(job, attempt))
                self._effects.launch(job, attempt)
            case act.Stop(id):
                if id not in self._stopping:
                    self._stopping.add(id)
                    self._mark(id)
            case act.Ack(id):
                _, attempt = self._attempt(id)
                if self._watch.complete(attempt):
                    self._effects.ack(attempt)
            case act.Acquire(job_number, backend, request):
                self.fleet.acquire(backend, request, str(job_number))
            case act.Release(slice):
                self.fleet.release(slice)

    def _fields(self, attempt: Attempt, order: Order) -> dict[str, Any]:
        """What a gang learns when it may go: where its first process listens."""
        if order.verb != "go":
            return {}
        first = attempt.placements[0].node
        ready = self._watch.tracker(attempt.id).known[first].get("ready") or {}
        variables = {"MASTER_ADDR": self.fleet.address(first), "MASTER_PORT": str(ready.get("port", ""))}
        return {"variables": variables}

    def _quoted(self, event: ev.Event) -> ev.Event:
        """A failed setup quotes the last lines of what failed."""
        if not isinstance(event, ev.PrepareFailed):
            return event
        lines = self._watch.last_lines(event.attempt, event.stage)
        detail = "\n".join([event.detail, *lines])
        return ev.PrepareFailed(event.attempt, event.stage, detail, event.exits)

    def _is_placed(self, action: act.Launch) -> bool:
        return self._attempt(action.attempt)[1].state is State.PLACED

    async def _pause(self, wake: float | None) -> None:
        if self._dirty:
            return
        timeout = None if wake is None else max(0.0, wake - time.time())
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return

    # news

    def _mark(self, attempt: AttemptId) -> None:
        self._dirty.add(attempt)
        self._changed.set()
        self._news.tell(attempt.job)

    def _output(self, attempt: AttemptId) -> None:
        self._news.tell(attempt.job)
        job = self.world.jobs.get(attempt.job)
        if job is not None and job.live is None:
            self._changed.set()

    def _committed(self, records: Sequence[ev.Record]) -> None:
        for record in records:
            event = record.event
            if isinstance(event, ev.NodeAdded | ev.NodeRemoved | ev.NodeSet | ev.NodeObserved):
                for job in self.world.jobs:
                    self._news.tell(job)
                continue
            job_number = event.job if hasattr(event, "job") else event.attempt.job
            if isinstance(event, ev.AttemptAcked):
                self._effects.forget(event.attempt)
                self._watch.forget(event.attempt)
            known = self.world.jobs.get(job_number)
            if known is not None:
                forget(self.world, known)
            self._news.tell(job_number)
        self._changed.set()

    def _note_idle(self) -> None:
        busy = any(j.decided is None for j in self.world.jobs.values()) or self._news.watched
        self.idle_since = None if busy else (self.idle_since or time.monotonic())

    def _find(self, number: int) -> Job:
        job = self.world.jobs.get(JobNumber(number)) or self.store.job(JobNumber(number))
        if job is None:
            raise NotFound(f"there is no job {number}", hints=["afield ps --all"])
        return job

    def _attempt(self, id: AttemptId) -> tuple[Job, Attempt]:
        job = self.world.jobs[id.job]
        return job, job.attempts[id.number - 1]

    def _view(self, job: Job) -> views.View:
        return views.job_view(job, self.world, time.time())
