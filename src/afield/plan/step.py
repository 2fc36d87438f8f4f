"""The plan: from the world and the time to what is to be done now. The same world and time give the same plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from afield.model.action import Ack, Acquire, Action, Decide, Hold, Launch, OrderStop, Place, Release, Stop, Wake
from afield.model.attempt import Attempt, State, Why
from afield.model.ids import AttemptId
from afield.model.job import Goal, Job
from afield.model.node import Health
from afield.model.world import World
from afield.plan.free import ON_DEMAND
from afield.plan.order import Line, Share, equal, line, ready
from afield.plan.possible import impossible
from afield.plan.retry import Again, Held, Over, judge


def step(world: World, now: float, *, share: Share = equal, elastic: Collection[str] = ()) -> list[Action]:
    """All that is to be done now; `elastic` are the backends that make slices when asked.

    Doing it twice does no harm, and what the world does not show as done is asked for again. At most one Wake is among
    it: the earliest time at which the plan changes although nothing happens.
    """
    actions: list[Action] = []
    wakes: list[float] = []
    for job in world.jobs.values():
        actions += [Ack(a.id) for a in job.attempts if not a.live and not a.acked]
        if job.decided is not None:
            continue
        if job.live is not None:
            actions += _look_after(job, job.live)
        elif (action := _follow_up(job, now)) is not None:
            actions.append(action)
        elif not job.hold and job.not_before > now:
            wakes.append(job.not_before)
    actions += _places(world, now, share)
    if elastic:
        actions += _slices(world, now, elastic)
    wakes += [a.until for a in actions if isinstance(a, Hold) and a.until is not None]
    return [*actions, Wake(min(wakes))] if wakes else actions


def _look_after(job: Job, attempt: Attempt) -> Iterator[Action]:
    """What a live attempt needs."""
    if attempt.state is State.STOPPING:
        yield Stop(attempt.id)
    elif job.goal is Goal.STOP:
        yield OrderStop(attempt.id, Why.USER)
    elif attempt.state in (State.PLACED, State.PREPARING):
        yield Launch(attempt.id)


def _follow_up(job: Job, now: float) -> Action | None:
    """What follows an ended attempt, but for a new place; or a stop before the first."""
    follows = judge(job)
    if isinstance(follows, Over):
        return Decide(job.number, follows.outcome)
    if job.hold:
        return None
    if isinstance(follows, Held):
        return Hold(job.number, follows.reason)
    if isinstance(follows, Again) and not job.not_before and follows.at > now:
        return Hold(job.number, follows.reason, until=follows.at)
    return None


def _places(world: World, now: float, share: Share) -> Iterator[Action]:
    jobs = line(world, now, share)
    if not jobs:
        return
    waiting = Line(world)
    for job in jobs:
        if waiting.room.full():
            return
        if (found := waiting.turn(job)) is not None:
            yield Place(AttemptId(job.number, len(job.attempts) + 1), found)


def _slices(world: World, now: float, elastic: Collection[str]) -> Iterator[Action]:
    """Slices to ask for, and slices that nobody needs any more or that are dead."""
    wanted: set[str] = set()
    for job in world.jobs.values():
        if not job.waiting or job.goal is Goal.STOP:
            continue
        named = [w.removeprefix(ON_DEMAND) for w in job.nodes if w.startswith(ON_DEMAND)]
        backends = [b for b in named if b in elastic]
        wanted.update(backends)
        if backends and ready(job, now) and impossible(job.request, job.nodes, world) is not None:
            yield Acquire(job.number, backends[0], job.request)
    held = {name for attempt in world.live() for name in attempt.nodes}
    slices: dict[str, list[tuple[str, Health, bool]]] = {}
    for node in world.nodes.values():
        if node.backend in elastic and node.slice:
            slices.setdefault(node.slice, []).append((node.backend, node.health, node.name in held))
    for name, nodes in slices.items():
        dead = any(health is Health.GONE for _, health, _ in nodes)
        if not any(is_held for _, _, is_held in nodes) and (dead or nodes[0][0] not in wanted):
            yield Release(name)
