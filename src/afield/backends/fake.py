"""Nodes for tests and rehearsal: slices that come and go on this machine, each node a home folder of its own.

Real runners run there; only where the nodes come from is made up.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from afield.backends.port import Abilities, Found
from afield.model.node import Node
from afield.model.request import Request
from afield.transport.local import Local
from afield.transport.port import Transport


class FakeBackend:
    """An elastic backend. `folder` holds a folder per slice, and in it one per node: what exists is what is there."""

    name = "fake"
    abilities = Abilities(elastic=True)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def observe(self) -> list[Found]:
        """All nodes of all slices."""
        return [
            Found(node.name, target=str(node), slice=slice.name, preemptible=True)
            for slice in sorted(self._folder.iterdir())
            for node in sorted(slice.iterdir())
        ]

    async def acquire(self, request: Request, key: str) -> None:
        """A slice named by the key, with a node for each process."""
        for worker in range(request.processes):
            (self._folder / f"fake-{key}" / f"fake-{key}-{worker}").mkdir(mode=0o700, parents=True, exist_ok=True)

    async def release(self, slice: str) -> None:
        """The slice and all that lay on it are gone."""
        self.preempt(slice)

    def preempt(self, slice: str) -> None:
        """Take a slice away as a cloud would: without a word."""
        shutil.rmtree(self._folder / slice, ignore_errors=True)

    def transport(self, node: Node, agent: str = "") -> Transport:
        """A runner of this machine whose home is the node's folder."""
        return Local({**os.environ, "HOME": node.target})
