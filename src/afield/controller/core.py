"""The controller: world -> plan -> effects -> events. One loop; may be killed at any line and started again.

It knows no HTTP. All its state is the store's; what is in memory beside the world is only what nodes said last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from afield.backends.port import Backend
from afield.config.secrets import Secrets
from afield.controller import views
from afield.controller.beside import Beside
from afield.controller.data import Data
from afield.controller.effects import Effects
from afield.controller.file import file
from afield.controller.fleet import Fleet
from afield.controller.follow import Frame, News, Sources, Wanted, follow
from afield.controller.forward import Forwards
from afield.controller.homing import Homing
from afield.controller.keeps import Keeps
from afield.controller.launch import Launcher
from afield.controller.loop import Hands, Loop
from afield.controller.session import Session
from afield.controller.submit import Intake, Submission
from afield.controller.watch import Watch
from afield.controller.ways import Ways
from afield.errors import AfieldError, NotFound, StoreRefused, Unreachable
from afield.model import event as ev
from afield.model.attempt import Attempt, Outcome, State
from afield.model.ids import AttemptId, JobNumber, NodeName
from afield.model.job import Goal, Job
from afield.model.machine import forget
from afield.model.node import Health
from afield.model.ports import Ports
from afield.model.world import World
from afield.plan.explain import Explainer, Explanation, explain
from afield.plan.need import needs
from afield.runner import points
from afield.store.output import Mirror
from afield.store.port import Store
from afield.store.writer import Writer

log = logging.getLogger(__name__)

MET_S = 5.0
"""How long a submission waits for the first answer of nodes."""

SEEN_S = 0.5
"""How long the answer to a submission waits for the plan to have looked at it."""

NAMED = 30
"""So many of the newest jobs can be completed by a shell."""

AGAIN_S = 1.0
"""Before a node is asked again for bytes that could not be kept."""


class Controller:
    """Jobs, nodes and their followers. `store` is open and belongs to this process."""

    def __init__(self, store: Store, mirror: Mirror, cache: Path, backends: dict[str, Backend], ports: Ports) -> None:
        self.store = store
        self._ports = ports
        self.store_id = store.id
        self.world: World = store.load()
        self._writer = Writer(store, self.world, on_commit=self._committed, clock=ports.clock.wall)
        self._news = News()
        self._nodes_changed = asyncio.Event()
        self._watch = Watch(mirror, self._heard, self._output, ports.clock)
        self.fleet = Fleet(store.id, self.world, backends, self, ports)
        self.data = Data(self.fleet, self._find)
        self.forwards = Forwards(self.fleet, self._find, self._view, self._news)
        self.beside = Beside(self.fleet, self._find)
        keeps = Keeps(mirror.beside("keep"), self._find, self.fleet.find)
        self.secrets = Secrets()
        ways = Ways(self._watch)
        launcher = Launcher(store.id, cache, self._watch, self.world, ports.clock, keeps, ways, self.secrets)
        self._effects = Effects(launcher, self.fleet.find, self.record, self._heard)
        self._homing = Homing(mirror.beside("home"), self.world, self.fleet.find, keeps)
        hands = Hands(self.record, self._effects, self._watch, self.fleet, self._turned, ports, self._homing)
        self._loop = Loop(self.world, hands)
        self._homing.wake = self._loop.wake
        self._intake = Intake(store, self.world, self._writer, ports.clock.wall)
        self._task: asyncio.Task[None] | None = None
        self.idle_since: float | None = self._ports.clock.mono()

    @property
    def seq(self) -> int:
        """The cursor of the newest event that is in the world."""
        return self.world.seq

    async def start(self) -> None:
        """Begin: nodes are connected, what runs is followed, what waits is placed."""
        await self.fleet.start()
        self._task = asyncio.create_task(self._loop.run(), name="controller")
        self._homing.start()

    async def close(self) -> None:
        """Stop looking. No job and no node is touched."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._homing.close()
        await self._effects.close()
        await self.fleet.close()
        await self._writer.close()
        self.store.close()

    # what people ask

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool = False) -> list[views.View]:
        """Accept jobs, all or none; a repeated key with the same body gives the job it made before.

        Raises NothingFits, Conflict, StoreRefused; nothing is stored then.
        """
        await self._met()
        for continued in {s.task.continues for s in submissions if s.task.continues}:
            self._find(continued)
        self.secrets.check(name for s in submissions for name in s.task.secrets)
        await self.fleet.freshen([s.nodes for s in submissions if needs(s.request)])
        accepted = await self._intake.submit(submissions, dry_run=dry_run)
        if not dry_run:
            await self._seen(accepted[-1].number)
        return [self._view(self.world.jobs.get(job.number, job)) for job in accepted]

    async def stop_job(self, number: int, by: str) -> views.View:
        """Wish a job stopped; stopping one that has ended changes nothing."""
        job = self._find(number)
        if job.decided is None and job.goal is Goal.RUN:
            await self.record(ev.GoalSet(job.number, Goal.STOP, by))
        self._hurry(job)
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
        now = self._ports.clock.wall()
        explainer = Explainer(self.world, now)
        current = [self.world.jobs.get(job.number, job) for job in found]
        return [
            {**views.job_view(job, self.world, now, reason=explainer.reason), **self._beside(job)} for job in current
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

    def names(self) -> dict[str, Any]:
        """The nodes with their health, and the newest jobs with what they are."""
        newest = [self.world.jobs.get(job.number, job) for job in self.store.jobs(unfinished_only=False, limit=NAMED)]
        jobs = [(int(j.number), f"{j.phase}  {j.name or ' '.join(j.task.argv)}"[:60]) for j in newest]
        nodes = [(str(n.name), str(n.health)) for n in sorted(self.world.nodes.values(), key=lambda n: n.name)]
        return {"nodes": nodes, "jobs": [(n, "".join(c if c.isprintable() else "?" for c in t)) for n, t in jobs]}

    def why(self, number: int) -> dict[str, Any]:
        """Why a job is where it is: for a queued one what binds, who holds it, what would start it now."""
        job = self._find(number)
        view = self._view(job)
        told = Explanation(view["reason"] or view["phase"], lines=self._under_way(job, view))
        if job.waiting:
            told = explain(job, self.world, self._ports.clock.wall())
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

    def _under_way(self, job: Job, view: dict[str, Any]) -> tuple[str, ...]:
        """What a live attempt is busy with before its program runs, and which of its nodes do not answer."""
        if job.live is None:
            return ()
        stages = [] if job.live.started_at else self._watch.stages(job.live.id)
        lines = [f"under way: {stage.stage}" for stage in stages if stage.state == "start"]
        lines += [f"{stage.stage} waits: {stage.text}" for stage in stages if stage.state == "waits"]
        for name, seconds in view["silent"].items():
            runs = "; the job goes on there" if job.live.started_at else ""
            lines.append(f"{name} has not answered for {seconds:.0f} s{runs}")
            lines += views.why_silent(self.world.nodes[NodeName(name)])
        return tuple(lines)

    async def follow(
        self, number: int, cursors: dict[str, int], *, follow_on: bool = True, tail: int | None = None
    ) -> AsyncIterator[Frame]:
        """News and output of a job from cursors until its end; without a cursor, from so many bytes before the end."""
        self._hurry(self._find(number))
        sources = Sources(self._find, self._view, self._watch, self._answers)
        async for frame in follow(sources, self._news, JobNumber(number), Wanted(cursors, follow_on, tail)):
            yield frame

    async def file(self, number: int, rank: int, path: str) -> AsyncGenerator[bytes, None]:
        """A file of a job's newest attempt, from the node of the process. Raises NotFound, Unreachable."""
        job = self._find(number)
        if job.last is None:
            raise NotFound(f"job {number} has no files yet", why=f"it is {job.phase}", hints=[f"afield why {number}"])
        async for piece in file(job.last, self.fleet.find, rank, path):
            yield piece

    def overview(self) -> dict[str, Any]:
        """Counts for a one-screen status."""
        phases: dict[str, int] = {}
        for job in self.world.jobs.values():
            phases[str(job.phase)] = phases.get(str(job.phase), 0) + 1
        return {
            "schema": 1,
            "jobs": phases,
            "nodes": self.fleet.all(),
        }

    async def events(self, since: int) -> AsyncIterator[ev.Record]:
        """The log from a cursor, then live."""
        async for record in self._writer.follow(since):
            yield record

    # what sessions and effects tell

    async def record(self, *events: ev.Event) -> None:
        """Append events in one transaction. Raises StoreRefused."""
        await self._writer.append(events)

    def _answers(self, name: NodeName) -> bool:
        """Whether a node may be expected to answer soon."""
        node = self.world.nodes.get(name)
        return node is not None and node.health in (Health.NEW, Health.READY, Health.DRAINING)

    async def connected(self, session: Session) -> None:
        """A node answers again: follow what runs there, and mend what its folders say."""
        self._effects.forget_node(session.name)
        for job in list(self.world.jobs.values()):
            for attempt in job.attempts:
                if attempt.acked or session.name not in attempt.nodes:
                    continue
                try:
                    await self._follow_folder(attempt, session)
                except Unreachable:
                    raise
                except AfieldError as error:  # one folder that cannot be read holds up no other
                    self._later(attempt.id, session.name, error)

    def pushed(self, node: NodeName, head: Mapping[str, Any], data: bytes) -> None:
        """A node said something by itself."""
        attempt = AttemptId.parse(head["attempt"])
        if attempt.job not in self.world.jobs:
            return
        try:
            self._watch.pushed(node, head, data)
        except StoreRefused as error:
            self._later(attempt, node, error)

    def _later(self, id: AttemptId, node: NodeName, error: AfieldError) -> None:
        self._effects.catch_up(id, node, partial(self._catch_up, id, node, error))

    async def _catch_up(self, id: AttemptId, node: NodeName, error: AfieldError) -> None:
        """Have a node send again what could not be kept, until nothing is refused any more."""
        log.error("%s (%s)", error.what, error.why)
        refused = -1
        while refused != self._watch.refused:
            refused = self._watch.refused
            await asyncio.sleep(AGAIN_S)
            job, session = self.world.jobs.get(id.job), self.fleet.find(node)
            if job is None or session is None:
                return
            try:
                await self._follow_folder(job.attempts[id.number - 1], session)
            except AfieldError as again:
                log.warning("%s is not followed on %s: %s (%s)", id, node, again.what, again.why)
                refused = -1

    async def _follow_folder(self, attempt: Attempt, session: Session) -> None:
        if attempt.state is State.PLACED:
            return
        link = await session.link()
        cursors = self._watch.cursors(attempt.id, session.name)
        with points.around("controller.watch"):
            await link.call("watch", attempt=str(attempt.id), cursors=cursors)

    async def _met(self) -> None:
        """Wait for nodes that are being reached for the first time: what they have decides what can ever run."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MET_S):
                while any(n.health is Health.NEW for n in self.world.nodes.values()):
                    self._nodes_changed.clear()
                    await self._nodes_changed.wait()

    async def _seen(self, number: JobNumber) -> None:
        """Let the plan look at a new job before people do."""
        wanted = self.world.seq
        with suppress(TimeoutError), self._news.listening(number) as changed:
            async with asyncio.timeout(SEEN_S):
                while self._loop.planned < wanted and self._find(number).waiting:
                    changed.clear()
                    await changed.wait()

    # news

    def _heard(self, attempt: AttemptId) -> None:
        self._loop.mark(attempt)
        self._news.tell(attempt.job)

    def _output(self, attempt: AttemptId) -> None:
        self._news.tell(attempt.job)
        job = self.world.jobs.get(attempt.job)
        if job is not None and job.live is None:
            self._loop.wake()

    def _committed(self, records: Sequence[ev.Record]) -> None:
        for record in records:
            event = record.event
            if isinstance(event, ev.NodeAdded | ev.NodeRemoved | ev.NodeSet | ev.NodeObserved):
                self._nodes_changed.set()
                for job in self.world.jobs.values():
                    self._news.tell(job.number)
                    if isinstance(event, ev.NodeRemoved) and job.live and event.node in job.live.nodes:
                        self._loop.mark(job.live.id)
                continue
            job_number = event.job if hasattr(event, "job") else event.attempt.job
            if isinstance(event, ev.AttemptAcked):
                self._loop.forget(event.attempt)
                self._effects.forget(event.attempt)
                self._watch.forget(event.attempt)
                self._homing.forget(event.attempt)
            known = self.world.jobs.get(job_number)
            if known is not None:
                forget(self.world, known)
            self._news.tell(job_number)
        self._loop.wake()

    def _turned(self) -> None:
        """After a turn: waiting jobs may have another reason now, and there may be nothing left to do."""
        for number in self._news.followed:
            job = self.world.jobs.get(number)
            if job is not None and job.waiting:
                self._news.tell(number)
        self._homing.look()
        jobs = self.world.jobs.values()
        busy = any(j.decided is None or self._homing.coming(j) for j in jobs) or bool(self._news.followed)
        self.idle_since = None if busy else (self.idle_since or self._ports.clock.mono())

    def _hurry(self, job: Job) -> None:
        """Somebody waits for news of a job: reach its nodes now rather than at the next try."""
        for name in job.live.nodes if job.live else ():
            session = self.fleet.find(name)
            if session is not None and not session.up:
                session.hurry()

    def _find(self, number: int) -> Job:
        job = self.world.jobs.get(JobNumber(number)) or self.store.job(JobNumber(number))
        if job is None:
            raise NotFound(f"there is no job {number}", hints=["afield ps --all"])
        return job

    def _beside(self, job: Job) -> views.View:
        """What a view of a job has beside what the world knows."""
        said = self._watch.progress(job.live.id) if job.live is not None else None
        return {**self._homing.told(job), "progress": said and {**said, "at": views.iso(said["at"])}}

    def _view(self, job: Job) -> views.View:
        view = {**views.job_view(job, self.world, self._ports.clock.wall()), **self._beside(job)}
        if job.decided is Outcome.SETUP_FAILED and job.last is not None:
            view["reason"] = view["attempts"][-1]["detail"] = self._watch.quoted(job.last)
        return view
