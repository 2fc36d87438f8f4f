"""What every backend gives: where nodes come from. Abilities are declared, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from afield.model.node import Node
from afield.model.request import Request
from afield.transport.port import Transport


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend can do: make nodes when asked (`elastic`), tell of a preemption before it comes (`notice`)."""

    elastic: bool = False
    notice: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A node that a backend reports: name, target, and the slice it belongs to."""

    name: str
    target: str = ""
    address: str = ""
    slice: str = ""
    preemptible: bool = False


class Backend(Protocol):
    """Four verbs and a declaration."""

    name: str
    abilities: Abilities

    async def observe(self) -> list[Found]:
        """All nodes that exist now, in one call; empty for a backend whose nodes a person adds."""

    async def acquire(self, request: Request, key: str) -> None:
        """Ask for a slice; asking again with the same key makes no second one."""

    async def release(self, slice: str) -> None:
        """Give a slice back; giving back what is gone does no harm."""

    def transport(self, node: Node, agent: str = "") -> Transport:
        """How to reach one node; `agent` is the caller's SSH_AUTH_SOCK."""
