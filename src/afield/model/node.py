"""One machine that can run processes: what it has, and what we last heard of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from afield.model.ids import NodeName

DRIVER_SHARE = 0.05
"""So much of a device's memory may be in use with nobody there."""

SOLD_SHARE = 0.02
"""A device may have so much less than the size that it is sold with."""


class Health(StrEnum):
    """News about a node; never news about a job."""

    NEW = "new"
    READY = "ready"
    UNREACHABLE = "unreachable"
    NEEDS_LOGIN = "needs_login"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Device:
    """One exclusive accelerator. `id` is its UUID, or `model-i` where a person declared it.

    `index` is its place for CUDA_VISIBLE_DEVICES; `busy` names a stranger's process that uses it. `taken_bytes` of its
    memory are in use by nobody's job: what strangers hold, seen or not.
    """

    id: str
    model: str
    index: int = 0
    memory_bytes: int = 0
    busy: str = ""
    taken_bytes: int = 0

    @property
    def room_bytes(self) -> int:
        """Memory that a job would find here. What a driver keeps for itself counts as free: no card is sold without."""
        taken = self.taken_bytes if self.taken_bytes > self.memory_bytes * DRIVER_SHARE else 0
        return max(0, self.memory_bytes - taken)

    def roomy(self, size: int, *, strangers: bool = True) -> bool:
        """Whether a job finds so much memory here; a card that is sold as 80G has a little less."""
        return (self.room_bytes if strangers else self.memory_bytes) >= size * (1 - SOLD_SHARE)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node can give. Memory and disk in bytes; disk is what was free at the last probe."""

    cpu: float = 1.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the controller knows it.

    `target` is what the transport connects to (an ssh name; empty for local), `address` what peers call it,
    `slice` names the slice it belongs to (a node on its own is a slice of one), `generation` grows when the machine
    behind the name was replaced, `preemptible` decides the default policy.
    """

    name: NodeName
    backend: str
    target: str = ""
    address: str = ""
    slice: str = ""
    generation: int = 1
    preemptible: bool = False
    capacity: Capacity = field(default_factory=Capacity)
    declared: tuple[tuple[str, int], ...] = ()
    health: Health = Health.NEW
    detail: str = ""
    hints: tuple[str, ...] = ()
    boot_id: str = ""
    machine_id: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    seen_at: float | None = None
    silent_since: float | None = None
    drained: bool = False
