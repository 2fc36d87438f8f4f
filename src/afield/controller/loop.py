"""The loop: what nodes said becomes events, the plan is asked, its actions are performed; one turn at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from afield.controller.effects import Effects
from afield.controller.fleet import Fleet
from afield.controller.homing import Homing
from afield.controller.launch import machine_line
from afield.controller.settle import Order, assess, concluded, with_removed
from afield.controller.watch import Watch
from afield.errors import IllegalMove, StoreRefused
from afield.model import action as act
from afield.model import event as ev
from afield.model.attempt import Attempt, State
from afield.model.ids import AttemptId, Nonce
from afield.model.job import Job
from afield.model.ports import Ports
from afield.model.world import World
from afield.plan.choice import chosen
from afield.plan.need import needs, passed_over, verdicts
from afield.plan.step import step

log = logging.getLogger(__name__)

AGAIN_S = 2.0
"""Before the next turn after one that failed (the store's disk is full, or a bug)."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the loop works with: `record` appends events, `turned` is told after each turn."""

    record: Callable[..., Coroutine[Any, Any, None]]
    effects: Effects
    watch: Watch
    fleet: Fleet
    turned: Callable[[], None]
    ports: Ports
    homing: Homing


class Loop:
    """Turns over one world, for as long as `run` runs."""

    def __init__(self, world: World, hands: Hands) -> None:
        self._world = world
        self._hands = hands
        self._dirty: set[AttemptId] = {a.id for j in world.jobs.values() for a in j.attempts}
        self._unsettled: set[AttemptId] = set()
        self._stopping: set[AttemptId] = set()
        self._changed = asyncio.Event()
        self.planned = 0
        """The cursor that the last turn had seen."""

    def mark(self, attempt: AttemptId) -> None:
        """There is news of an attempt: look at it in the next turn."""
        self._dirty.add(attempt)
        self._changed.set()

    def wake(self) -> None:
        """Something changed: take another turn."""
        self._changed.set()

    def forget(self, attempt: AttemptId) -> None:
        """Nothing more will be asked of an attempt."""
        self._stopping.discard(attempt)

    async def run(self) -> None:
        """Turn until cancelled."""
        while True:
            self._changed.clear()
            wake, failed = None, True
            try:
                wake = await self._turn()
                failed = False
            except StoreRefused as error:
                log.error("%s (%s)", error.what, error.why)
            except Exception:
                log.exception("a turn of the controller failed")
            self.planned = self._world.seq
            self._hands.turned()
            if failed:
                await asyncio.sleep(AGAIN_S)
            else:
                await self._pause(wake)

    async def _turn(self) -> float | None:
        await self._settle()
        events: list[ev.Event] = []
        after: list[act.Action] = []
        wake: float | None = None
        for action in step(self._world, self._hands.ports.clock.wall(), elastic=self._hands.fleet.elastic):
            if isinstance(action, act.Wake):
                wake = action.at if wake is None else min(wake, action.at)
            elif found := self._as_events(action):
                events += found
            else:
                after.append(action)
        if events:
            await self._hands.record(*events)
        for action in after:
            self._perform(action)
        return wake

    async def _settle(self) -> None:
        """Turn what nodes said since the last turn into events and orders."""
        events: list[ev.Event] = []
        # Kept until what follows is recorded: the store may refuse it, and nodes say a thing once.
        self._unsettled |= self._dirty
        self._dirty = set()
        for id in self._unsettled:
            job = self._world.jobs.get(id.job)
            if job is None or id.number > len(job.attempts):
                continue
            attempt = job.attempts[id.number - 1]
            if attempt.live and attempt.state is not State.PLACED:
                try:
                    events += self._assessed(job, attempt)
                except Exception:
                    # A bug in one attempt's story must not hold up all others.
                    log.exception("attempt %s", id)
        settled = set(self._unsettled)
        if events:
            await self._hands.record(*events)
        self._unsettled -= settled

    def _assessed(self, job: Job, attempt: Attempt) -> list[ev.Event]:
        """What follows for an attempt from what is known of it; gives its orders."""
        known = with_removed(attempt, self._hands.watch.tracker(attempt.id).known, self._world.nodes)
        found = assess(attempt, job.task.end, known)
        events = self._concluded(job, found.events)
        for order in found.orders:
            self._hands.effects.order(job, attempt, order, self._fields(attempt, order))
        return events

    def _concluded(self, job: Job, found: list[ev.Event]) -> list[ev.Event]:
        """What follows from what was found; a bug in one job's story must not hold up all others."""
        try:
            return concluded(job, [self._quoted(e) for e in found])
        except IllegalMove:
            log.exception("job %d: what its nodes say does not fit what is known", job.number)
            return []

    def _as_events(self, action: act.Action) -> list[ev.Event]:
        match action:
            case act.Place(attempt, placements):
                placed = ev.AttemptPlaced(attempt, Nonce(self._hands.ports.chance.token()), placements)
                return [placed, ev.PrepareStarted(attempt)]
            case act.OrderStop(attempt, why):
                return [ev.StopOrdered(attempt, why)]
            case act.Decide(job, outcome):
                return [ev.JobDecided(job, outcome)]
            case act.Hold(job, reason, until):
                return [ev.JobHeld(job, reason, until)]
        return []

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Launch(id) if known := self._attempt(id):
                if not any(s.stage == "machine" for s in self._hands.watch.stages(id)):
                    self._hands.watch.stage(id, machine_line(*known, self._others(*known)))
                self._hands.effects.launch(*known)
            case act.Stop(id):
                if id not in self._stopping:
                    self._stopping.add(id)
                    self.mark(id)
            case act.Ack(id) if known := self._attempt(id):
                if self._home(*known):
                    self._hands.effects.ack(known[1])
            case act.Acquire(job_number, backend, request):
                self._hands.fleet.acquire(backend, request, str(job_number))
            case act.Release(slice):
                self._hands.fleet.release(slice)

    def _others(self, job: Job, attempt: Attempt) -> str:
        """Why the other nodes were not taken."""
        if not needs(job.request):
            return chosen(job, attempt, self._world)
        told = verdicts(job.request, job.nodes, self._world, self._hands.ports.clock.wall())
        return passed_over(told, attempt.nodes)

    def _home(self, job: Job, attempt: Attempt) -> bool:
        """Whether all that an ended attempt left on its nodes is here: only then may they forget it."""
        fleet = self._hands.fleet
        seen = self._hands.watch.complete(attempt, lambda node: fleet.find(node) is not None)
        return seen and self._hands.homing.over(job, attempt)

    def _fields(self, attempt: Attempt, order: Order) -> dict[str, Any]:
        """What a gang learns when it may go: where its first process listens."""
        if order.verb != "go":
            return {}
        first = attempt.placements[0].node
        ready = self._hands.watch.tracker(attempt.id).known[first].get("ready") or {}
        variables = {"MASTER_ADDR": self._hands.fleet.address(first), "MASTER_PORT": str(ready.get("port", ""))}
        return {"variables": variables}

    def _quoted(self, event: ev.Event) -> ev.Event:
        """A failed setup quotes the last lines of what failed."""
        if not isinstance(event, ev.PrepareFailed):
            return event
        lines = self._hands.watch.last_lines(event.attempt, event.stage)
        detail = "\n".join([event.detail, *lines])
        return ev.PrepareFailed(event.attempt, event.stage, detail, event.exits)

    async def _pause(self, wake: float | None) -> None:
        if self._dirty:
            return
        timeout = None if wake is None else max(0.0, wake - self._hands.ports.clock.wall())
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return

    def _attempt(self, id: AttemptId) -> tuple[Job, Attempt] | None:
        """A job and its attempt; None when its end was acknowledged while a turn waited for the store."""
        job = self._world.jobs.get(id.job)
        return None if job is None else (job, job.attempts[id.number - 1])
