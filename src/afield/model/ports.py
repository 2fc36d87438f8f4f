"""What the controller asks of the world beside the store and the nodes: time and chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two times of this machine."""

    def wall(self) -> float:
        """UTC seconds; may jump."""

    def mono(self) -> float:
        """Seconds that only grow."""


class Chance(Protocol):
    """What nobody can foretell."""

    def between(self, low: float, high: float) -> float:
        """A number between two others."""

    def token(self) -> str:
        """128 random bits in hex."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Both together."""

    clock: Clock
    chance: Chance
