"""Where a job's processes go: all or nothing, on as few nodes as possible, tightest fit first, slices whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from afield.model.attempt import Placement
from afield.model.job import Job
from afield.model.node import Device
from afield.model.request import ANY_MODEL, ProcessGroup, format_group
from afield.model.world import World
from afield.plan.fit import Groups, Spread, fit, shape
from afield.plan.free import Offer, Room, allowed, node_devices
from afield.plan.possible import impossible
from afield.plan.retry import preferred

__all__ = ["Misfit", "impossible", "node_devices", "place"]


@dataclass(frozen=True, slots=True)
class Misfit:
    """The job fits nowhere now; `groups` is the part of the request that was refused first."""

    groups: Groups

    @property
    def item(self) -> str:
        """The refused part as text."""
        return ",".join(format_group(g) for g in self.groups)


def place(job: Job, world: World, room: Room | None = None) -> tuple[Placement, ...] | Misfit:
    """Placements for all processes of a job in rank order, or why there is no place. `room` is what is still free."""
    room = Room.now(world) if room is None else room
    groups = shape(job.request.groups)
    for group in groups:
        if room.refuses(group):
            return Misfit((group,))
    offers = room.offers(job.nodes)
    first, last = preferred(job)
    found = None
    if first or last:
        better = [o for o in offers if (o.slot.name in first if first else o.slot.name not in last)]
        found = fit(groups, better).found
    found = fit(groups, offers).found if found is None else found
    return Misfit(groups) if found is None else _grants(groups, sorted(found, key=lambda part: _named(job, part[0])))


def _named(job: Job, offer: Offer) -> int:
    """Where a node stands among those that the job names: its processes are numbered in that order."""
    return next((i for i, word in enumerate(job.nodes) if allowed((word,), offer.slot.node)), 0)


def _grants(groups: Groups, found: Spread) -> tuple[Placement, ...]:
    placements: list[Placement] = []
    first = [sum(g.count for g in groups[:i]) for i in range(len(groups))]
    index = [0] * len(groups)
    for offer, counts in found:
        mine: list[Placement] = []
        for i, count in enumerate(counts):
            for _ in range(count):
                mine.append(_bare(groups[i], first[i] + index[i], i, index[i], offer))
                index[i] += 1
        placements += _with_devices(groups, mine, offer)
    return tuple(sorted(placements, key=lambda p: p.rank))


def _bare(group: ProcessGroup, rank: int, number: int, index: int, offer: Offer) -> Placement:
    return Placement(
        rank=rank,
        group=number,
        index=index,
        node=offer.slot.name,
        cpu=1.0 if group.cpu is None else group.cpu,
        cpu_asked=group.cpu is not None,
        memory_bytes=group.memory_bytes,
        disk_bytes=group.disk_bytes,
    )


def _with_devices(groups: Groups, mine: list[Placement], offer: Offer) -> list[Placement]:
    """The placements of one node with devices: named models first, so that "any" takes what nobody named."""
    if not any(groups[p.group].devices for p in mine):
        return mine
    room = offer.slot.room_bytes
    found = offer.slot.devices
    if any(groups[p.group].device_bytes for p in mine):
        found = {model: sorted(devices, key=room, reverse=True) for model, devices in found.items()}
    left = {model: found[model][:count] for model, count in offer.models.items()}
    given: dict[int, list[Device]] = {p.rank: [] for p in mine}
    for anyhow in (False, True):
        for p in sorted(mine, key=lambda p: -groups[p.group].device_bytes):
            size = groups[p.group].device_bytes
            for ask in groups[p.group].devices:
                if (ask.model == ANY_MODEL) is anyhow:
                    models = list(left) if anyhow else [ask.model]
                    fitting = {m: [d for d in left[m] if not size or offer.slot.is_roomy(d, size)] for m in models}
                    if size:
                        fitting = {m: sorted(roomy, key=room) for m, roomy in fitting.items()}
                    taken = _any(fitting, ask.count, room if size else None)
                    given[p.rank] += taken
                    left = {m: [d for d in devices if d not in taken] for m, devices in left.items()}
    return [replace(p, devices=tuple(d.id for d in sorted(given[p.rank], key=_by_index))) for p in mine]


def _any(left: dict[str, list[Device]], count: int, room: Callable[[Device], int] | None = None) -> list[Device]:
    """So many devices of any model, from the model with the fewest left that is enough, else from several.

    Where `room` tells their memory, those with the least are taken, whichever model they are.
    """
    if room is not None:
        return sorted((d for found in left.values() for d in found), key=room)[:count]
    taken: list[Device] = []
    while len(taken) < count:
        need = count - len(taken)
        model = min((m for m in left if left[m]), key=lambda m: (len(left[m]) < need, len(left[m]), m))
        taken += left[model][:need]
        left[model] = left[model][need:]
    return taken


def _by_index(device: Device) -> tuple[int, str]:
    return device.index, device.id
