"""What a job needs: process groups with counts and devices, cpu, memory, disk, time limit.

    request = pgroup *( "," pgroup )        pgroup = [count ":"] process        process = "[" [item *("," item)] "]"
    item    = [count ":"] name | ("cpu" | "mem" | "disk") "=" amount            blanks allowed; count >= 1
"""

from __future__ import annotations

from dataclasses import dataclass

ANY_MODEL = "gpu"
"""The device name that any model satisfies."""


@dataclass(frozen=True, slots=True)
class DeviceAsk:
    """So many devices of a model for one process."""

    model: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """`count` equal processes. A process never spans nodes. `cpu` is None when nothing was asked."""

    count: int = 1
    devices: tuple[DeviceAsk, ...] = ()
    cpu: float | None = None
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """All that a job needs. `time_limit_s` counts from the start of the program."""

    groups: tuple[ProcessGroup, ...] = (ProcessGroup(),)
    time_limit_s: float | None = None

    @property
    def processes(self) -> int:
        """How many processes an attempt has."""
        return sum(g.count for g in self.groups)
