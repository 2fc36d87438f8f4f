"""Brings a snapshot to a node: the delta stream from a tree that the node holds, in pieces over the link.

Contents were compressed when they were taken; small deltas are kept in memory and shared by all nodes that hold the
same tree. What a node reports to hold afterwards is compared with what was wanted.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from afield.errors import AfieldError, SetupFailed
from afield.runner import delta as wire
from afield.runner import gittree, points
from afield.snapshot.objects import Objects, StoredTree

PIECE = 512 * 1024
"""How much one request carries: little enough that a node's other business comes in between."""

AHEAD = 4
"""Pieces under way before the answer to the first of them."""

KEPT, KEPT_BYTES = 64, 8 * 1024 * 1024
"""So many deltas stay in memory, each of at most so many bytes."""

BUSY_S = 0.05
BUSY_TRIES = 2400

_HEAD = struct.Struct(">BI")
_SIZES = struct.Struct(">QQ")
_KINDS = {gittree.FILE: wire.FILE, gittree.PROGRAM: wire.PROGRAM, gittree.LINK: wire.LINK}


class Link(Protocol):
    """What a send needs of a link to a node."""

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        """The reply to one request. Raises AfieldError."""


async def send(link: Link, cache: Path, workspace: str, want: str, have: str | None) -> None:
    """Make the node hold the tree `want` of a workspace, of which it holds `have` (or nothing).

    Raises NotFound `snapshot-missing`, SetupFailed, and what the link raises.
    """
    async with holding(link, cache, workspace, want, have):
        return


@asynccontextmanager
async def holding(link: Link, cache: Path, workspace: str, want: str, have: str | None) -> AsyncIterator[int]:
    """As `send`; gives how many bytes it took.

    Until the block ends, no other send on this link gives the node another tree of this workspace: one at a time per
    link and workspace, and a later one finds out what the node holds then.
    """
    async with _turn(link, workspace):
        for _ in range(3):
            base = await asyncio.to_thread(_usable, cache, workspace, have)
            reply, sent = await _send(link, cache, (workspace, base, want))
            if reply.get("have") == want:
                yield sent
                return
            have = reply.get("have")
    raise SetupFailed("the node does not keep the code", why=f"it holds {have or 'nothing'} after {want} was sent")


def delta(cache: Path, workspace: str, base: str | None, want: str) -> Iterator[bytes]:
    """The stream from `base` (None: from nothing) to `want` in pieces; at least one, the last may be empty.

    Raises NotFound `snapshot-missing`.
    """
    key = (str(cache), workspace, base, want)
    kept = _kept.get(key)
    if kept is not None:
        yield from kept
        return
    pieces: list[bytes] | None = []
    size = 0
    for piece in _pieces(_records(Objects(cache, workspace), base, want)):
        size += len(piece)
        if pieces is not None:
            pieces.append(piece)
        if size > KEPT_BYTES:
            pieces = None
        yield piece
    if pieces is not None:
        _kept.put(key, pieces)


class _Kept:
    """The deltas that are used again most likely."""

    def __init__(self) -> None:
        self._deltas: OrderedDict[tuple[str, str, str | None, str], list[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str, str | None, str]) -> list[bytes] | None:
        with self._lock:
            if key in self._deltas:
                self._deltas.move_to_end(key)
            return self._deltas.get(key)

    def put(self, key: tuple[str, str, str | None, str], pieces: list[bytes]) -> None:
        with self._lock:
            self._deltas[key] = pieces
            while len(self._deltas) > KEPT:
                self._deltas.popitem(last=False)


_kept = _Kept()
_turns: weakref.WeakKeyDictionary[Link, dict[str, asyncio.Lock]] = weakref.WeakKeyDictionary()


def _turn(link: Link, workspace: str) -> asyncio.Lock:
    return _turns.setdefault(link, {}).setdefault(workspace, asyncio.Lock())


def _usable(cache: Path, workspace: str, have: str | None) -> str | None:
    return have if have is not None and Objects(cache, workspace).has_tree(have) else None


async def _send(link: Link, cache: Path, key: tuple[str, str | None, str]) -> tuple[dict[str, Any], int]:
    """The node's last word on one stream, and its length in bytes."""
    workspace, base, want = key
    stream = delta(cache, workspace, base, want)
    fields = {"workspace": workspace, "base": base, "want": want}
    piece, following = await asyncio.to_thread(next, stream), await asyncio.to_thread(next, stream, None)
    reply = await _first(link, piece, {**fields, "seq": 0, "last": following is None})
    sent = len(piece)
    if "have" in reply:
        return reply, sent
    running: list[asyncio.Task[tuple[dict[str, Any], bytes]]] = []
    number = 0
    try:
        while following is not None:
            piece, following = following, await asyncio.to_thread(next, stream, None)
            number += 1
            sent += len(piece)
            call = link.call("tree.apply", piece, **fields, seq=number, last=following is None)
            running.append(asyncio.ensure_future(call))
            await asyncio.sleep(0)
            if len(running) > AHEAD:
                reply, _ = await running.pop(0)
        while running:
            reply, _ = await running.pop(0)
    finally:
        for task in running:
            task.cancel()
    return reply, sent


async def _first(link: Link, piece: bytes, fields: dict[str, Any]) -> dict[str, Any]:
    """The answer to the first piece, asked again while the node is making copies of this workspace's files."""
    for _ in range(BUSY_TRIES):
        try:
            with points.around("controller.code"):
                reply, _ = await link.call("tree.apply", piece, **fields)
        except AfieldError as error:
            if error.code != "tree-busy":
                raise
            await asyncio.sleep(BUSY_S)
            continue
        return reply
    raise SetupFailed("the node is busy with this workspace's code", why=f"for {BUSY_TRIES * BUSY_S:.0f} s")


def _pieces(records: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of the right size; one empty piece when there are none."""
    waiting = bytearray()
    sent = False
    for record in records:
        waiting += record
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
            sent = True
    if waiting or not sent:
        yield bytes(waiting)


def _records(objects: Objects, base: str | None, want: str) -> Iterator[bytes]:
    new = objects.tree(want)
    old: StoredTree | type[gittree.Nothing] = objects.tree(base) if base is not None else gittree.Nothing
    differing = sorted(gittree.differences(old, new))
    for path, before, after in differing:
        if before is not None and after is None:
            yield _HEAD.pack(wire.REMOVE, len(path)) + path
    for path, before, after in differing:
        if after is None:
            continue
        same = before is not None and before[1] == after[1] and gittree.LINK not in (before[0], after[0])
        kind = {gittree.FILE: wire.PLAIN, gittree.PROGRAM: wire.RUNNABLE}[after[0]] if same else _KINDS[after[0]]
        yield _HEAD.pack(kind, len(path)) + path
        if not same:
            size, length, stream = objects.packed(after[1])
            yield _SIZES.pack(size, length)
            yield from stream
