"""Results on their way home: the files of an attempt, read from the nodes as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from afield.controller.follow import Frame
from afield.controller.session import Session
from afield.errors import AfieldError, NotFound, Unreachable
from afield.model.attempt import Attempt
from afield.model.ids import NodeName
from afield.runner import wire
from afield.transport.link import Link

AHEAD = 8
"""Reads under way at once, so that distance costs one round trip and not one per piece."""

Have = Mapping[str, list[int]]


async def results(attempt: Attempt, session: Callable[[NodeName], Session | None], have: Have) -> AsyncIterator[Frame]:
    """Files of an attempt's outputs: one `file` frame each, then its `data`; what `have` names unchanged is skipped.

    With several nodes each node's files are under `wN/`. Raises Unreachable when a node does not answer, NotFound when
    its folder was collected.
    """
    sent = kept = 0
    for worker, node in enumerate(attempt.nodes):
        prefix = f"w{worker}/" if len(attempt.nodes) > 1 else ""
        found = session(node)
        if found is None:
            raise Unreachable(f"node {node} is not known any more", why=f"it holds the results of attempt {attempt.id}")
        link = await found.link_now()
        for path, size, mtime_ns, mode, target in await _files(link, attempt, node):
            if have.get(prefix + path) == [size, mtime_ns]:
                kept += 1
                continue
            sent += 1
            head = {
                "on": "file",
                "path": prefix + path,
                "size": size,
                "mtime_ns": mtime_ns,
                "mode": mode,
                "link": target,
            }
            yield head, b""
            if target is None:
                async for offset, data in _read(link, attempt, f"outputs/{path}", size):
                    yield {"on": "data", "path": prefix + path, "offset": offset}, data
    yield {"on": "done", "files": sent, "kept": kept}, b""


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
        raise Unreachable(f"node {node} is not known any more", why=f"it holds the files of attempt {attempt.id}")
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


async def _files(link: Link, attempt: Attempt, node: NodeName) -> list[list[Any]]:
    try:
        reply, _ = await link.call("files", attempt=str(attempt.id), under="outputs")
    except AfieldError as error:
        if error.code != "not-found":
            raise
        raise NotFound(f"the results of attempt {attempt.id} are no longer on {node}") from error
    return list(reply["files"])


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
