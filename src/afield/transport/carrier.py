"""A child process whose standard input and output are one socket of ours: what carries a link. No threads."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence

from afield.runner import points

TAIL = 8 * 1024
ROOM = 1024 * 1024


class Carrier:
    """A started child. `sock` does not block; `stderr` is the end of what the child complained about."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                # Without root the kernel cuts this to its limit, which is enough.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
            try:
                # A session of its own: Ctrl-C in the caller's terminal is not meant for it.
                with points.around("controller.fork"):
                    self._process = subprocess.Popen(
                        list(argv),
                        stdin=theirs.fileno(),
                        stdout=theirs.fileno(),
                        stderr=subprocess.PIPE,
                        env=dict(environment) if environment is not None else None,
                        start_new_session=True,
                    )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self.sock = ours
        self._tail = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._watch_stderr()
        self._watch_end()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """The last lines of the child's standard error, for people."""
        return self._tail.decode("utf-8", "replace").strip()

    async def ended(self) -> int:
        """The child's exit status, when it has one; its standard error is complete then, unless others hold it."""
        return await asyncio.shield(self._ended)

    def when_ended(self, then: Callable[[], object]) -> None:
        """Call this once the child has ended."""
        self._ended.add_done_callback(lambda _: then())

    async def close(self, grace_s: float = 2.0) -> int:
        """Let go of the child: it sees the end of its input, and a signal when that does not move it."""
        self.sock.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None and not self._ended.done():
                self._process.send_signal(number)
            try:
                return await asyncio.wait_for(self.ended(), grace_s)
            except TimeoutError:
                continue
        return await self.ended()

    def _watch_stderr(self) -> None:
        assert self._process.stderr is not None
        self._complaints = self._process.stderr.fileno()
        os.set_blocking(self._complaints, False)
        self._loop.add_reader(self._complaints, self._complained)

    def _complained(self) -> None:
        try:
            data = os.read(self._complaints, TAIL)
        except BlockingIOError:
            return
        self._tail += data
        del self._tail[:-TAIL]
        if not data:
            self._deaf()

    def _deaf(self) -> None:
        stderr = self._process.stderr
        if stderr is not None and not stderr.closed:
            self._loop.remove_reader(self._complaints)
            stderr.close()

    def _watch_end(self) -> None:
        if hasattr(os, "pidfd_open"):
            self._handle = os.pidfd_open(self._process.pid)
            self._loop.add_reader(self._handle, self._reaped)
        else:
            # Systems without pidfd: a thread of the common pool waits.
            self._loop.run_in_executor(None, self._process.wait).add_done_callback(
                lambda done: self._finish(done.result())
            )

    def _reaped(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        self._finish(self._process.wait())

    def _finish(self, status: int) -> None:
        while self._process.stderr is not None and not self._process.stderr.closed:
            before = bytes(self._tail)
            self._complained()
            if bytes(self._tail) == before:
                break
        self._deaf()
        self._ended.set_result(status)
