"""One file of an attempt, read from its node as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from afield.controller.session import Session
from afield.errors import AfieldError, NotFound, Unreachable
from afield.model.attempt import Attempt
from afield.model.ids import NodeName
from afield.runner import wire
from afield.transport.link import Link

AHEAD = 8
"""Reads under way at once, so that distance costs one round trip and not one per piece."""


async def file(
    attempt: Attempt, session: Callable[[NodeName], Session | None], rank: int, path: str
) -> AsyncIterator[bytes]:
    """One file of the attempt's folder on the node that runs the process `rank`, in pieces; at least one.

    Raises NotFound when it is not there, Unreachable when the node does not answer.
    """
    node = next((p.node for p in attempt.placements if p.rank == rank), None)
    found = session(node) if node is not None else None
    if node is None:
        raise NotFound(f"attempt {attempt.id} has no process {rank}")
    if found is None:
        raise Unreachable(
            f"node {node} is not known any more",
            why=f"it holds the files of attempt {attempt.id}",
            hints=["afield node add"],
        )
    link = await found.link_now()
    try:
        reply, first = await link.call(
            "read", kind="job", attempt=str(attempt.id), path=path, offset=0, length=wire.CHUNK
        )
    except AfieldError as error:
        if error.code != "not-found":
            raise
        raise NotFound(f"job {attempt.id.job} has no file {path} on {node}") from error
    yield first
    async for _, data in _read(link, attempt, path, reply["size"], start=len(first)):
        yield data


async def _read(
    link: Link, attempt: Attempt, path: str, size: int, *, start: int = 0
) -> AsyncIterator[tuple[int, bytes]]:
    async def piece(offset: int) -> bytes:
        _, data = await link.call(
            "read", kind="job", attempt=str(attempt.id), path=path, offset=offset, length=wire.CHUNK
        )
        return data

    ahead: dict[int, asyncio.Task[bytes]] = {}
    following = start
    try:
        for offset in range(start, size, wire.CHUNK):
            while following < size and len(ahead) < AHEAD:
                ahead[following] = asyncio.create_task(piece(following))
                following += wire.CHUNK
            yield offset, await ahead.pop(offset)
    finally:
        for task in ahead.values():
            task.cancel()
