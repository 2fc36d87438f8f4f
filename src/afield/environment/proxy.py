"""A small CONNECT proxy for one build on a node without internet: a random token, a list of hosts, nothing else.

It listens on a Unix socket that only we can open; ssh lends that socket to the node as a port of its loopback. Other
people on the node can reach the port, but not without the token. What is said inside is TLS, end to end.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import os
import secrets
from pathlib import Path

from afield.environment.indexes import Host

log = logging.getLogger(__name__)

USER = "afield"
_HEAD_BYTES = 8192
_WITHIN_S = 15.0
_MOST = 64
_PIECE = 64 * 1024


class Proxy:
    """Lets who knows `token` through to `hosts`, from `start` to `close`; `refused` are those that it turned down."""

    def __init__(self, hosts: frozenset[Host]) -> None:
        self.hosts = hosts
        self.token = secrets.token_urlsafe(24)
        self.refused: set[str] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen at a path in a folder that is ours alone."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, path, limit=_HEAD_BYTES)
        os.chmod(path, 0o600)
        self._path = path

    async def close(self) -> None:
        """End every connection and forget the token."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self.token = ""

    def address(self, port: int) -> str:
        """What a client on the node takes for its proxy."""
        return f"http://{USER}:{self.token}@127.0.0.1:{port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_WITHIN_S):
                head = await reader.readuntil(b"\r\n\r\n")
                answer, host = self._judge(head)
                if host is None:
                    writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    await writer.drain()
                    return
                there = await asyncio.open_connection(*host)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _both(reader, writer, *there)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("a connection of a build ended: %r", error)
        finally:
            writer.close()

    def _judge(self, head: bytes) -> tuple[bytes, Host | None]:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
        if len(self._open) > _MOST:
            return b"503 Too Many Connections", None
        if not self._knows(fields.get("proxy-authorization", "")):
            return b"407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=afield", None
        if len(words) != 3 or words[0] != "CONNECT":
            return b"405 Only CONNECT", None
        name, _, port = words[1].rpartition(":")
        host = (name.strip("[]").lower(), int(port) if port.isdigit() else 0)
        if host not in self.hosts:
            self.refused.add(words[1])
            log.warning("a build asked for %r, which is no package index", words[1])
            return b"403 Not A Package Index", None
        return b"", host

    def _knows(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        wanted = base64.b64encode(f"{USER}:{self.token}".encode())
        same = hmac.compare_digest(given.strip().encode("latin-1"), wanted)
        return same and kind.lower() == "basic" and bool(self.token)


async def _both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pour(reader, far_writer))
            group.create_task(_pour(far_reader, writer))
    except* OSError as errors:
        log.info("a connection of a build broke: %r", errors.exceptions[0])
    finally:
        far_writer.close()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_PIECE):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
