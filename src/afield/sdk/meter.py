"""How far a copy is: what whoever shows it reads, and what the copying itself counts up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Meter:
    """Files and bytes of one copy; `changed` is called after each change, from any thread."""

    files: int = 0
    bytes: int = 0
    done: int = 0
    changed: Callable[[], None] = field(default=_nothing, repr=False)

    def expect(self, files: int, size: int) -> None:
        """So much more is to be copied."""
        self.files += files
        self.bytes += size
        self.changed()

    def add(self, size: int) -> None:
        """So much more was copied."""
        self.done += size
        self.changed()
