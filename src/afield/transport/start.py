"""The first words with a node: wait for the marker behind any noise, bring the runner there, make the link."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from afield.errors import AfieldError, Unreachable
from afield.transport import command
from afield.transport.bundle import bundle
from afield.transport.carrier import Carrier
from afield.transport.link import Link

WITHIN_S = 60.0
_LINE = 4096

_FOLDERS = {
    "EROFS": ("home-read-only", "is on a read-only file system", "mount it writable, or give the account another home"),
    "ENOSPC": ("home-full", "is on a full disk", "free some space there"),
    "EDQUOT": ("home-full", "is over the account's quota", "free some space there"),
}


class Failed(Exception):
    """The carrier ended before the runner spoke: its exit status, what it complained, what came on its output."""

    def __init__(self, status: int | None, stderr: str, output: str) -> None:
        super().__init__(status)
        self.status = status
        self.stderr = stderr
        self.output = output


async def start(name: str, store: str, carrier: Carrier, explain: Callable[[Failed], Awaitable[AfieldError]]) -> Link:
    """The link over a fresh carrier. Raises what `explain` makes of one that failed, else Unreachable with a code."""
    talk = _Talk(carrier)
    try:
        async with asyncio.timeout(WITHIN_S):
            await _greet(name, store, talk)
        link = Link(name, carrier, bytes(talk.buffer))
        await link.greeted()
    except Failed as failed:
        await carrier.close()
        raise await explain(failed) from None
    except TimeoutError:
        await carrier.close()
        why = f"no word of our runner in {WITHIN_S:g} s"
        raise Unreachable(f"{name} did not finish the login", why=why, hints=talk.said, code="silent") from None
    except BaseException:
        await carrier.close()
        raise
    return link


async def _greet(name: str, store: str, talk: _Talk) -> None:
    marker = await talk.find(command.MARKER.strip(), command.NO_PYTHON)
    rest = (await talk.line()).strip()
    if marker == command.NO_PYTHON:
        raise _no_python(name, rest)
    runner = bundle()
    await talk.send(runner.boot + f"{runner.digest} {len(runner.data)} {store}\n".encode("ascii"))
    answer = (await talk.line()).strip()
    if answer == "need":
        await talk.send(runner.data)
        answer = (await talk.line()).strip()
    if answer != "have":
        raise _refused(name, answer)


def _no_python(name: str, found: str) -> Unreachable:
    hints = ("install Python 3.8 or newer there, or put it into the PATH of non-interactive logins",)
    if found:
        why = f"{found}; 3.8 is needed"
        return Unreachable(f"Python on {name} is too old", why=why, hints=hints, code="python-too-old")
    return Unreachable(f"no Python was found on {name}", why="no python3 in PATH", hints=hints, code="no-python")


def _refused(name: str, answer: str) -> Unreachable:
    word, _, rest = answer.partition(" ")
    if word != "afield-nofolder":
        why = answer[:200] or "it said nothing"
        return Unreachable(f"the runner did not start on {name}", why=why, code="bad-runner")
    errno_name, _, text = rest.partition(" ")
    code, what, hint = _FOLDERS.get(
        errno_name, ("home-unwritable", "cannot be written", "the account needs a home folder that it may write to")
    )
    return Unreachable(f"the home folder on {name} {what}", why=text, hints=(hint,), code=code)


class _Talk:
    """Bytes and lines with a carrier that is no link yet."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._loop = asyncio.get_running_loop()
        self.buffer = bytearray()
        self.noise = bytearray()

    @property
    def said(self) -> tuple[str, ...]:
        """The last words of the login shell, as a hint."""
        noise = bytes((self.noise + self.buffer)[-200:]).decode("utf-8", "replace").strip()
        return (f"its login says: {noise}",) if noise else ()

    async def find(self, *markers: bytes) -> bytes:
        """The first of these words that comes; what came before it is noise and goes."""
        while True:
            places = sorted((at, marker) for marker in markers if (at := self.buffer.find(marker)) >= 0)
            if places:
                at, marker = places[0]
                self._drop(at + len(marker))
                return marker
            # A marker may have come in part.
            self._drop(max(0, len(self.buffer) - _LINE))
            await self._more()

    async def line(self) -> str:
        """One line, without its end."""
        while (end := self.buffer.find(b"\n")) < 0:
            await self._more()
        line = bytes(self.buffer[:end]).decode("utf-8", "replace")
        del self.buffer[: end + 1]
        return line

    async def send(self, data: bytes) -> None:
        """All of these bytes."""
        try:
            await self._loop.sock_sendall(self._carrier.sock, data)
        except OSError:
            # The end of the output tells more.
            return

    def _drop(self, size: int) -> None:
        self.noise += self.buffer[:size]
        del self.noise[:-_LINE]
        del self.buffer[:size]

    async def _more(self) -> None:
        try:
            data = await self._loop.sock_recv(self._carrier.sock, 65536)
        except OSError:
            data = b""
        if not data:
            await self._fail()
        self.buffer += data

    async def _fail(self) -> None:
        try:
            status: int | None = await asyncio.wait_for(self._carrier.ended(), 5.0)
        except TimeoutError:
            status = None
        output = bytes(self.noise + self.buffer).decode("utf-8", "replace").strip()
        raise Failed(status, self._carrier.stderr, output)
