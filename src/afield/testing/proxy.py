"""A network that fails on demand: a small TCP proxy in front of a host, in a process of its own.

with Proxy(host.address, host.port) as proxy:
    hosts.route("box1", proxy.address, proxy.port)
    proxy.blackhole()

It has no threads: the process reads orders as lines from its input, answers each, and ends with the input.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from afield.errors import AfieldError

ADDRESS = "127.0.0.1"
CHUNK = 64 * 1024
PIECES = 20
"""Of a second's bytes, where they are throttled."""


class Proxy:
    """Forwards connections from `address`:`port` to the target while the block lasts."""

    def __init__(self, target: str, target_port: int) -> None:
        self.address = ADDRESS
        self.port = 0
        self._words = [sys.executable, "-m", "afield.testing.proxy", target, str(target_port)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._words, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self.port = int(self._answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def forward(self) -> None:
        """Everything passes, at once; what was held back arrives."""
        self._order("forward")

    def blackhole(self) -> None:
        """Nothing passes and nobody is told: bytes wait, new connections get no answer. `forward` heals it."""
        self._order("blackhole")

    def reset(self) -> None:
        """Resets all connections, and each new one, until `forward`."""
        self._order("reset")

    def one_way(self, towards: str) -> None:
        """Only bytes towards the `client` or the `server` pass; the others wait, and nobody is told."""
        self._order(f"oneway {towards}")

    def half_open(self) -> None:
        """The server's side of all connections is gone, once, and the client is not told; new ones are welcome."""
        self._order("halfopen")

    def throttle(self, rate: int) -> None:
        """At most so many bytes a second pass in each direction of each connection."""
        self._order(f"throttle {rate}")

    def cut_after(self, count: int, *, towards: str = "client") -> None:
        """Lets `count` more bytes pass towards the `client` or the `server`, then resets all connections, once."""
        self._order(f"cut {count} {towards}")

    def delay(self, seconds: float) -> None:
        """Every byte arrives that much later, in each direction."""
        self._order(f"delay {seconds}")

    def passed(self) -> tuple[int, int]:
        """Bytes that went towards the client and towards the server so far."""
        to_client, to_server = self._order("passed").split()
        return int(to_client), int(to_server)

    def _order(self, line: str) -> str:
        if self._process is None or self._process.stdin is None:
            raise AfieldError("the proxy was not started", hints=["use it as a `with` block"])
        self._process.stdin.write(f"{line}\n")
        return self._answer()

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise AfieldError("the proxy ended", why=f"exit status {self._process.wait()}")
        return answer


class _Network:
    """What all connections share: whether bytes may pass, how late they are, and when the next cut is due."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.resetting = False
        self.late_s = 0.0
        self.passed = {"client": 0, "server": 0}
        self.cut: tuple[str, int] | None = None
        self.rate = 0
        self.open = {"client": asyncio.Event(), "server": asyncio.Event()}
        self._pass("client", "server")
        self.writers: set[asyncio.StreamWriter] = set()
        self.servers: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self.calling: set[asyncio.StreamWriter] = set()
        self.abandoned: set[asyncio.StreamWriter] = set()

    def order(self, words: list[str]) -> str:
        """Does what one line asks for; the answer is one line, too."""
        verb = words[0]
        if verb == "passed":
            return f"{self.passed['client']} {self.passed['server']}"
        if verb == "cut":
            self.cut = (words[2], self.passed[words[2]] + int(words[1]))
            self._cut_if_due()
            return "ok"
        if verb == "halfopen":
            self._abandon()
            return "ok"
        self.resetting = verb == "reset"
        self.late_s = float(words[1]) if verb == "delay" else 0.0
        self.rate = int(words[1]) if verb == "throttle" else 0
        self._pass(*{"blackhole": (), "oneway": words[1:]}.get(verb, ("client", "server")))
        if self.resetting:
            self.drop()
        return "ok"

    def _pass(self, *directions: str) -> None:
        for name, event in self.open.items():
            event.set() if name in directions else event.clear()

    def _abandon(self) -> None:
        self.abandoned.update(self.servers, self.calling)
        for writer in self.servers.values():
            _reset(writer)

    def allowance(self, towards: str, wanted: int) -> int:
        """How many of the bytes may pass before the cut."""
        if self.cut is None or self.cut[0] != towards:
            return wanted
        return min(wanted, self.cut[1] - self.passed[towards])

    def count(self, towards: str, size: int) -> None:
        """Notes bytes that passed; makes the cut when it is due."""
        self.passed[towards] += size
        self._cut_if_due()

    def drop(self) -> None:
        """Resets all connections."""
        for writer in self.writers:
            _reset(writer)
        self.writers.clear()

    def _cut_if_due(self) -> None:
        if self.cut is not None and self.passed[self.cut[0]] >= self.cut[1]:
            self.cut = None
            self.drop()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        if self.resetting:
            _reset(writer)
            return
        self.writers.add(writer)
        with contextlib.suppress(OSError):
            await self.open["server"].wait()
            self.calling.add(writer)
            server_reader, server_writer = await asyncio.open_connection(*self.target, limit=CHUNK)
            if writer not in self.writers:  # it was reset while we called the server
                _reset(server_writer)
                return
            self.writers.add(server_writer)
            self.servers[writer] = server_writer
            if writer in self.abandoned:
                _reset(server_writer)
            both = self._pump(reader, server_writer, "server"), self._pump(server_reader, writer, "client")
            await asyncio.gather(*both, return_exceptions=True)
            server_writer.close()
            self.writers.discard(server_writer)
            while writer in self.abandoned and await reader.read(CHUNK):
                pass
        writer.close()
        self.writers.discard(writer)
        self.calling.discard(writer)
        self.servers.pop(writer, None)
        self.abandoned.discard(writer)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = max(1, self.rate // PIECES) if self.rate else len(data)
            yield data[:size]
            data = data[size:]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: str) -> None:
        """Carries bytes in one direction; a queue with due times keeps their order when the delay changes."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        now = asyncio.get_running_loop().time

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - now()))
                await self.open[towards].wait()
                if not data:
                    if writer not in self.abandoned:
                        writer.write_eof()
                    return
                for piece in self._pieces(data):
                    allowed = piece[: self.allowance(towards, len(piece))]
                    writer.write(allowed)
                    await writer.drain()
                    self.count(towards, len(allowed))
                    await asyncio.sleep(len(piece) / self.rate if self.rate else 0)

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while data := await reader.read(CHUNK):
                await queue.put((now() + self.late_s, data))
            await queue.put((now() + self.late_s, b""))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes so that the other side sees a reset and no orderly end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main(target: str, port: str) -> None:
    network = _Network((target, int(port)))
    server = await asyncio.start_server(network.serve, ADDRESS, 0, limit=CHUNK)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say(str(server.sockets[0].getsockname()[1]))
    while line := await orders.readline():
        _say(network.order(line.decode().split()))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
