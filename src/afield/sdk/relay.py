"""A port of this machine that leads to wherever a forward leads at the moment. It is bound once and stays through cuts.

The listener is ours, not ssh's: it ends with this process however that ends, and nobody takes the port in between.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from afield.errors import Conflict, NotAllowed

HOST = "127.0.0.1"
PIECE = 256 * 1024
HOLD_S = 20.0
"""How long a connection that comes during a cut waits for the way to be there again."""

_TAKEN = (errno.EADDRINUSE, errno.EACCES)


def listen(wanted: int, *, exactly: bool) -> socket.socket:
    """A listening socket on our loopback: the wanted port, else a free one (always for 0) unless `exactly` that one.

    Raises Conflict when it is taken, NotAllowed when only root may have it.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, wanted))
        made.listen()
    except OSError as error:
        made.close()
        if error.errno not in _TAKEN:
            raise
        if not exactly:
            return listen(0, exactly=True)
        raise _taken(wanted, error) from None
    return made


def _taken(port: int, error: OSError) -> Conflict | NotAllowed:
    if error.errno == errno.EACCES:
        return NotAllowed(f"port {port} here is for root only", why="it is below 1024", hints=[f"8{port:03}:PORT"])
    return Conflict(
        f"port {port} is taken here",
        why=f"another program of this machine listens at {HOST}:{port}",
        hints=["0:PORT takes a free one", f"ss -tlnp sport = :{port}    shows who has it"],
    )


class Relay:
    """Passes each connection to a listening socket on to `lead`'s place; runs in a thread of its own until `close`."""

    def __init__(self, listener: socket.socket, refused: Callable[[], None] | None = None) -> None:
        """`refused` is called for each connection that the far side ends before it gave a byte."""
        self._refused = refused
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._led = asyncio.Event()
        self._at = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"relay {self.port}", daemon=True)
        self._thread.start()

    def lead(self, at: str) -> None:
        """Connections go there from now on: a port of this machine, a Unix socket's path, or "": they wait."""
        with suppress(RuntimeError):  # closed in the meantime
            self._loop.call_soon_threadsafe(self._set, at)

    def close(self) -> None:
        """End the listener and all connections."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _set(self, at: str) -> None:
        self._at = at
        if at:
            self._led.set()
        else:
            self._led.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, sock=self._listener))
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(HOLD_S):
                await self._led.wait()
            far_reader, far_writer = await self._reach()
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        self._tasks.add(task)
        try:
            there = asyncio.ensure_future(_pass(reader, far_writer))
            back = asyncio.ensure_future(_pass(far_reader, writer))
            back.add_done_callback(lambda done: self._look(done, there))
            await asyncio.gather(there, back)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                end.transport.abort()

    def _look(self, back: asyncio.Future[int], there: asyncio.Future[int]) -> None:
        if self._refused is None or back.cancelled() or there.cancelled():
            return
        early = not there.done() or isinstance(there.exception(), _Unheard)
        if early and (back.exception() or not back.result()):
            self._refused()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._at.startswith("/"):
            return await asyncio.open_unix_connection(self._at)
        return await asyncio.open_connection("localhost", int(self._at))


class _Unheard(ConnectionError):
    """The side that bytes went to is gone."""


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> int:
    """All bytes one way, then the end of them: the other direction may go on. How many there were."""
    count = 0
    while data := await source.read(PIECE):
        count += len(data)
        target.write(data)
        try:
            await target.drain()
        except OSError as error:
            raise _Unheard from error
    if target.can_write_eof():
        target.write_eof()
    return count
