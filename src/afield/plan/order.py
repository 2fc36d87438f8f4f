"""Who is next: priority, then share, then first come; and who may pass whom.

The rule of passing: a job that waits for room keeps, on every node that it could use, the most that it could ever take
there of each dimension (devices of a model, devices of any model, cores, memory, disk). Whoever comes later in line may
take of a dimension only what is free beyond that. So whatever the others give back, the earlier job finds as much as if
nobody had passed it: it is never delayed, and never starved. A job that would not fit even if every job ended now (a
node is silent, a stranger holds a device) keeps nothing until that changes.
"""

from __future__ import annotations

from collections.abc import Callable

from afield.model.attempt import Placement
from afield.model.job import Job
from afield.model.request import ANY_MODEL
from afield.model.world import World
from afield.plan.fit import Groups, fit, shape
from afield.plan.free import Amounts, Room, add
from afield.plan.place import Misfit, place
from afield.plan.retry import Again, judge

Share = Callable[[str], float]
"""What a user has used against what is due to them: who has used less is first."""

RESERVATIONS = 32
"""So many different waiting requests keep room; whoever is behind them waits in order of line only."""


def equal(user: str) -> float:
    """Everybody has used the same."""
    return 0.0


def line(world: World, now: float, share: Share = equal) -> list[Job]:
    """The jobs that may be placed now, first in line first."""
    jobs = [j for j in world.jobs.values() if ready(j, now)]
    return sorted(jobs, key=lambda j: (-j.priority, share(j.user), j.number))


def ready(job: Job, now: float) -> bool:
    """Whether the job stands in line: it waits, is not held, does not back off and is not over."""
    if not job.waiting or job.hold or job.not_before > now:
        return False
    follows = judge(job)
    return follows is None or (isinstance(follows, Again) and (follows.at <= now or job.not_before > 0))


class Line:
    """Gives room to one job after the other. Ask in the order of `line`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.room = Room.now(world)
        self._idle: Room | None = None
        self._refused: set[tuple[Groups, tuple[str, ...]]] = set()

    def turn(self, job: Job) -> tuple[Placement, ...] | None:
        """Placements for the job, taken from the room; or None, and the job keeps what it waits for."""
        key = (job.request.groups, job.nodes)
        if key in self._refused:
            return None
        found = place(job, self.world, self.room)
        if isinstance(found, Misfit):
            if len(self._refused) < RESERVATIONS:
                self._keep(job)
            self._refused.add(key)
            return None
        self.room.take(job.number, found)
        return found

    def _keep(self, job: Job) -> None:
        self._idle = self._idle or Room.idle(self.world)
        groups = shape(job.request.groups)
        offers = self._idle.offers(job.nodes)
        if any(self._idle.refuses(g) for g in groups) or fit(groups, offers).found is None:
            return
        counts_all = any(ask.model == ANY_MODEL for g in groups for ask in g.devices)
        for offer in offers:
            most = Amounts()
            for group in groups:
                add(most, group, offer.room_for(group, Amounts(), group.count))
            if not counts_all:
                most.total = 0
            if most.cpu or most.soft:
                self.room.slots[offer.slot.name].keep(most, job.number)
        self.room.changed()
