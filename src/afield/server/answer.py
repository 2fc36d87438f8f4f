"""Answers: JSON as it is, errors with a fitting status, streams of frames and of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from afield import errors
from afield.errors import AfieldError
from afield.model.event import Record
from afield.runner import wire
from afield.server.port import Frame
from afield.store.codec import encode_event

FRAMES = "application/vnd.afield.frames"
EVENTS = "text/event-stream"

_STATUS: dict[type[AfieldError], int] = {
    errors.UsageError: 400,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.NothingFits: 422,
    errors.SetupFailed: 424,
    errors.Unreachable: 502,
    errors.StoreRefused: 507,
}


class Json(Response):
    """A value as JSON, written once and not looked at again; surrogate escapes survive."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The value as ASCII bytes."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def status_of(error: AfieldError) -> int:
    """The HTTP status that fits the error's class."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def failure(error: AfieldError, status: int = 0) -> Json:
    """The error as an answer."""
    return Json({"error": error.as_dict()}, status or status_of(error))


async def frames(source: AsyncIterator[Frame]) -> AsyncGenerator[bytes, None]:
    """Frames as bytes. An error after the first one becomes a last frame `error`; before it, it is raised."""
    begun = False
    try:
        async for head, data in source:
            yield wire.pack(head, data)
            begun = True
    except AfieldError as error:
        if not begun:
            raise
        yield wire.pack({"on": "error", "error": error.as_dict()})
    finally:
        await _close(source)


async def server_sent(source: AsyncIterator[Record]) -> AsyncGenerator[bytes, None]:
    """Records as server-sent events whose id is the cursor to go on from."""
    try:
        async for record in source:
            kind, body = encode_event(record.event)
            head = f'{{"seq":{record.seq},"at":{record.at!r},"kind":"{kind}","body":'
            yield f"id: {record.seq}\ndata: {head}{body}}}\n\n".encode()
    finally:
        await _close(source)


async def _close(source: AsyncIterator[Any]) -> None:
    if isinstance(source, AsyncGenerator):
        await source.aclose()


class Stream(Response):
    """Bytes as they come; the source is closed as soon as the reader hangs up.

    The status is decided when the first piece is there, so an early error still has its own. The source is asked for
    the next piece only when the socket took the last: nothing piles up. When `cut` is set the stream ends with
    `farewell`; who reads it asks again from its cursor.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        cut: asyncio.Event | None = None,
        farewell: bytes = b"",
    ) -> None:
        super().__init__(media_type=media_type, headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._pieces = pieces
        self._cut = cut
        self._farewell = farewell
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, until the end, the reader's hanging up or the cut."""
        pump = asyncio.create_task(self._pump(send))
        reader = asyncio.create_task(_hung_up(receive))
        tasks: list[asyncio.Task[Any]] = [pump, reader]
        if self._cut is not None:
            tasks.append(asyncio.create_task(self._cut.wait()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if pump in done:
            pump.result()
        elif reader not in done:
            await self._send(send, self._farewell, more=False)

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await self._send(send, piece, more=True)
                await asyncio.sleep(
                    0
                )  # so that others have their turn, and a hang-up is seen, while the socket takes all
        await self._send(send, b"", more=False)

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
