"""What backends share whose nodes a person added: the nodes are there, nothing is made or given back."""

from __future__ import annotations

from afield.backends.port import Abilities, Found
from afield.model.request import Request


class Static:
    """A backend without observe, acquire and release."""

    abilities = Abilities()

    async def observe(self) -> list[Found]:
        """Nothing: these nodes are known from the store."""
        return []

    async def acquire(self, request: Request, key: str) -> None:
        """Nothing to make: a request that fits no added node waits, with its reason."""

    async def release(self, slice: str) -> None:
        """Nothing to give back."""
