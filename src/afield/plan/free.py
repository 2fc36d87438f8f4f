"""What is free where: the nodes that may take processes now, less what live attempts and strangers hold.

A `Slot` is one node's room, a `Room` all of them. Resources are counted in dimensions (devices of each model, devices
of any model, cores, memory, disk); a reservation keeps so much of a dimension from those who come later in line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from afield.model.attempt import Placement
from afield.model.ids import JobNumber, NodeName
from afield.model.node import Device, Health, Node
from afield.model.request import ANY_MODEL, ProcessGroup
from afield.model.world import World

EPSILON = 1e-9
"""Cores are sums of floats."""

ON_DEMAND = "backend:"
"""A word of a job's node filter that names a backend, not a node."""


def node_devices(node: Node) -> tuple[Device, ...]:
    """The node's devices: those that were found there, else those that a person declared, as `gtx1070-0`, ..."""
    if node.capacity.devices or not node.declared:
        return node.capacity.devices
    models = [model.lower() for model, count in node.declared for _ in range(count)]
    return tuple(Device(f"{m}-{models[:i].count(m)}", m, index=i) for i, m in enumerate(models))


def usable(node: Node) -> bool:
    """Whether the node may take a new attempt now."""
    return node.health is Health.READY and not node.drained


@lru_cache(maxsize=1024)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    choices = (".*".join(re.escape(part) for part in word.split("*")) for word in words)
    return re.compile("|".join(choices), re.DOTALL)


def allowed(words: tuple[str, ...], node: Node) -> bool:
    """Whether a node filter lets a job onto a node: by name, slice or `backend:NAME`; `*` is any text, () any node."""
    if not words:
        return True
    match = _pattern(words).fullmatch
    return bool(match(node.name) or (node.slice and match(node.slice)) or match(ON_DEMAND + node.backend))


@dataclass(slots=True)
class Amounts:
    """So much of each dimension. `total` counts devices of any model, `soft` processes that named no cores."""

    models: dict[str, int] = field(default_factory=dict)
    total: int = 0
    cpu: float = 0.0
    soft: int = 0
    memory: int = 0
    disk: int = 0


class Slot:
    """One node's room, free devices first."""

    __slots__ = (
        "_offer",
        "cpu",
        "devices",
        "disk",
        "holders",
        "keeper",
        "kept",
        "memory",
        "node",
        "strangers",
        "total_cpu",
    )

    def __init__(self, node: Node, *, strangers: bool = True) -> None:
        self.node = node
        self.strangers = strangers
        self.devices: dict[str, list[Device]] = {}
        for device in node_devices(node):
            if not (strangers and device.busy):
                self.devices.setdefault(device.model.lower(), []).append(device)
        self.total_cpu = self.cpu = node.capacity.cpu
        self.memory = node.capacity.memory_bytes
        self.disk = node.capacity.disk_bytes
        self.holders: set[JobNumber] = set()
        self.kept: Amounts | None = None
        self._offer: Offer | None = None
        self.keeper: JobNumber | None = None

    @property
    def name(self) -> NodeName:
        """The node's name."""
        return self.node.name

    def take(self, job: JobNumber, placement: Placement) -> None:
        """Give to a process what its placement grants."""
        self._offer = None
        self.holders.add(job)
        self.cpu -= placement.cpu
        self.memory -= placement.memory_bytes
        self.disk -= placement.disk_bytes
        if placement.devices:
            gone = set(placement.devices)
            self.devices = {m: [d for d in found if d.id not in gone] for m, found in self.devices.items()}

    def keep(self, amounts: Amounts, job: JobNumber) -> None:
        """Reserve at least so much for a job that waits; what is reserved grows, never shrinks."""
        self._offer = None
        kept = self.kept = self.kept or Amounts()
        self.keeper = self.keeper or job
        for model, count in amounts.models.items():
            kept.models[model] = max(kept.models.get(model, 0), count)
        kept.total = max(kept.total, amounts.total)
        kept.cpu = max(kept.cpu, amounts.cpu + amounts.soft)
        kept.memory = max(kept.memory, amounts.memory)
        kept.disk = max(kept.disk, amounts.disk)

    def room_bytes(self, device: Device) -> int:
        """The memory that a device has for us: that of one whose memory nobody knows is none."""
        return device.room_bytes if self.strangers else device.memory_bytes

    def is_roomy(self, device: Device, size: int) -> bool:
        """Whether a device has so much memory for us."""
        return device.roomy(size, strangers=self.strangers)

    def offer(self) -> Offer:
        """What the next in line may take here."""
        self._offer = self._offer or self._make_offer()
        return self._offer

    def _make_offer(self) -> Offer:
        kept = self.kept or _NOTHING
        models = {m: max(0, len(found) - kept.models.get(m, 0)) for m, found in self.devices.items()}
        free = sum(len(found) for found in self.devices.values())
        idle = not self.holders and self.kept is None
        return Offer(
            slot=self,
            models=models,
            total=max(0, min(free - kept.total, sum(models.values()))),
            cpu=self.total_cpu if idle else max(0.0, self.cpu - kept.cpu),
            crowded=not idle,
            memory=max(0, self.memory - kept.memory),
            disk=max(0, self.disk - kept.disk),
            free=free,
        )


_NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node offers to the next in line.

    On a node that is not `crowded` processes which named no cores share what is there, however many they are.
    `free` is the number of free devices, reserved ones included.
    """

    slot: Slot
    models: dict[str, int]
    total: int
    cpu: float
    crowded: bool
    memory: int
    disk: int
    free: int

    @property
    def closed(self) -> bool:
        """Whether not even the smallest process may come."""
        return self.crowded and self.cpu < 0.001

    def room_for(self, group: ProcessGroup, load: Amounts, limit: int) -> int:
        """How many processes of a group fit on top of a load, at most `limit`."""
        most = limit
        count = 0
        for ask in group.devices:
            count += ask.count
            if ask.model != ANY_MODEL:
                most = min(most, (self.models.get(ask.model, 0) - load.models.get(ask.model, 0)) // ask.count)
        if count:
            most = min(most, (self.total - load.total) // count)
        if group.device_bytes and count:
            most = min(most, self._by_device(group, load))
        most = min(most, self._by_cpu(group, load, most))
        if group.memory_bytes:
            most = min(most, (self.memory - load.memory) // group.memory_bytes)
        if group.disk_bytes:
            most = min(most, (self.disk - load.disk) // group.disk_bytes)
        return max(0, most)

    def _by_device(self, group: ProcessGroup, load: Amounts) -> int:
        """By the memory of devices. What others of the job take on this node counts as if it were among the roomy."""
        roomy = {model: self.roomy(model, group.device_bytes) for model in self.models}
        most = (sum(roomy.values()) - load.total) // sum(ask.count for ask in group.devices)
        for ask in group.devices:
            if ask.model != ANY_MODEL:
                most = min(most, (roomy.get(ask.model, 0) - load.models.get(ask.model, 0)) // ask.count)
        return most

    def roomy(self, model: str, size: int) -> int:
        """How many devices of a model have so much memory for us, reserved ones not counted."""
        slot = self.slot
        return min(self.models[model], sum(slot.is_roomy(d, size) for d in slot.devices[model]))

    def idle_bytes(self, group: ProcessGroup, count: int) -> int:
        """Device memory that stays unused where so many processes of a group, which asks for some, are here."""
        if not group.device_bytes:
            return 0
        spare = []
        for ask in group.devices:
            models = list(self.models) if ask.model == ANY_MODEL else [ask.model]
            roomy = [d for m in models for d in self.slot.devices[m] if self.slot.is_roomy(d, group.device_bytes)]
            rooms = sorted(self.slot.room_bytes(d) for d in roomy)
            spare += [max(0, r - group.device_bytes) for r in rooms][: ask.count * count]
        return sum(spare)

    def _by_cpu(self, group: ProcessGroup, load: Amounts, limit: int) -> int:
        if group.cpu is None and not self.crowded:
            return limit
        used = load.cpu + (load.soft if self.crowded else 0)
        return int((self.cpu - used + EPSILON) // (group.cpu or 1.0))


def add(load: Amounts, group: ProcessGroup, count: int) -> None:
    """Put so many processes of a group on top of a load."""
    for ask in group.devices:
        load.total += ask.count * count
        if ask.model != ANY_MODEL:
            load.models[ask.model] = load.models.get(ask.model, 0) + ask.count * count
    if group.cpu is None:
        load.soft += count
    else:
        load.cpu += group.cpu * count
    load.memory += group.memory_bytes * count
    load.disk += group.disk_bytes * count


class Room:
    """All nodes that may take processes, as one step sees them; it only shrinks while a step gives from it."""

    def __init__(self, nodes: Iterable[Node], *, strangers: bool = True) -> None:
        self.slots = {node.name: Slot(node, strangers=strangers) for node in nodes}
        self.broken: set[str] = set()
        """Slices that lack a node: nobody may use them."""
        self._chosen: dict[tuple[str, ...], list[Offer]] = {}
        self._peak: Amounts | None = None

    @classmethod
    def now(cls, world: World, without: frozenset[JobNumber] = frozenset()) -> Room:
        """What is free now, or would be `without` the attempts of some jobs."""
        room = cls.idle(world)
        for attempt in world.live():
            if attempt.id.job not in without:
                room.take(attempt.id.job, attempt.placements)
        return room

    @classmethod
    def idle(cls, world: World) -> Room:
        """What would be free now if no attempt were live."""
        room = cls(node for node in world.nodes.values() if usable(node))
        room.broken = {n.slice for n in world.nodes.values() if n.slice and not usable(n)}
        return room

    def take(self, job: JobNumber, placements: Iterable[Placement]) -> None:
        """Give what the placements grant; a slice is held by the first job on it."""
        for placement in placements:
            if (slot := self.slots.get(placement.node)) is not None:
                slot.take(job, placement)
        self.changed()

    def changed(self) -> None:
        """Forget what was derived from the slots."""
        self._chosen.clear()
        self._peak = None

    def offers(self, words: tuple[str, ...] = ()) -> list[Offer]:
        """What the nodes offer that a filter allows; slices that are held, reserved or incomplete are left out."""
        if words not in self._chosen:
            if words:
                self._chosen[words] = [o for o in self.offers() if allowed(words, o.slot.node)]
            else:
                shut = self.broken | {s.node.slice for s in self.slots.values() if s.holders or s.kept is not None}
                whole = (s for s in self.slots.values() if not s.node.slice or s.node.slice not in shut)
                self._chosen[words] = [o for s in whole if not (o := s.offer()).closed]
        return self._chosen[words]

    def full(self) -> bool:
        """Whether nothing at all may come."""
        return not self.offers()

    def refuses(self, group: ProcessGroup) -> bool:
        """A quick look: whether one process of a group is too big for every node. False says nothing."""
        peak = self._peak or self._find_peak()
        count = 0
        for ask in group.devices:
            count += ask.count
            if ask.model != ANY_MODEL and peak.models.get(ask.model, 0) < ask.count:
                return True
        too_much = peak.total < count or peak.memory < group.memory_bytes or peak.disk < group.disk_bytes
        return too_much or peak.cpu + EPSILON < (group.cpu or 0.0)

    def _find_peak(self) -> Amounts:
        peak = self._peak = Amounts()
        for offer in self.offers():
            for model, count in offer.models.items():
                peak.models[model] = max(peak.models.get(model, 0), count)
            peak.total = max(peak.total, offer.total)
            peak.cpu = max(peak.cpu, offer.cpu)
            peak.memory = max(peak.memory, offer.memory)
            peak.disk = max(peak.disk, offer.disk)
        return peak

    def holders(self) -> Iterator[tuple[Slot, JobNumber]]:
        """Who holds what, node by node."""
        for slot in self.slots.values():
            for job in sorted(slot.holders):
                yield slot, job
