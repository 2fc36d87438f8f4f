"""Around every request: the token, the build in the answer's header, the count of open requests."""

from __future__ import annotations

import hmac
import os
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afield.build import build
from afield.errors import NotAllowed
from afield.server.answer import failure
from afield.server.desk import Desk

OPEN_TO_ALL = frozenset({"/v1/hello"})


class Guard:
    """Plain ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk
        self._wanted = f"Bearer {desk.token}".encode("ascii")
        self._build = (b"afield-build", build().encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_build(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._build]
            await send(message)

        headers = dict(scope["headers"])
        self._desk.open_requests += 1
        try:
            await self._pass(scope, headers)(scope, receive, with_build)
        finally:
            self._desk.open_requests -= 1
            self._desk.used_at = time.monotonic()

    def _pass(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGIApp:
        if hmac.compare_digest(headers.get(b"authorization", b""), self._wanted):
            self._desk.controller.fleet.bring_agent(os.fsdecode(headers.get(b"afield-agent-sock", b"")))
            return self._app
        return self._app if scope["path"] in OPEN_TO_ALL else _REFUSED


_REFUSED = failure(
    NotAllowed(
        "this server wants its token",
        why="the request has none, or one of an earlier server",
        hints=["read the token file beside the socket, and send it as `Authorization: Bearer …`"],
    ),
    401,
)
