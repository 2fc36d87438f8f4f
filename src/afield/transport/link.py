"""Our side of a link: requests out, replies and pushes in, over one socket to a carrier. No threads, no tasks.

Nothing that is sent is copied, and no push waits in memory: who cannot take more calls `pause`. A link without news for
`SILENT_S` is closed. What a closed link means for jobs: nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from afield.errors import AfieldError, Unreachable, from_dict
from afield.runner import points, wire
from afield.transport.carrier import Carrier

Head = dict[str, Any]
Push = Callable[[Head, bytes], None]

PING_S = 10.0
SILENT_S = 30.0
WITHIN_S = 120.0
QUEUED = 4 * 1024 * 1024
CREDIT = 256 * 1024
_ROOM = bytearray(1024 * 1024)
"""Where all links of the process receive: what arrives is taken apart before anything else runs."""


class Link:
    """An open connection to a node's runner.

    `hello` is what the node said of itself; `on_push` gets news that nobody asked for, on the event loop, and must not
    wait; `closed` is set once the link is no more, with `reason` in words.
    """

    def __init__(self, name: str, carrier: Carrier, first: bytes = b"") -> None:
        self.name = name
        self.hello: Head = {}
        self.on_push: Push | None = None
        self.closed = asyncio.Event()
        self.reason = ""
        self.most = 0
        """How many replies may wait here before the node is held back; 0: any number, for a link that is shared."""
        self._carrier = carrier
        self._sock = carrier.sock
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._waiting: dict[int, asyncio.Queue[tuple[Head, bytes] | None]] = {}
        self._number = 0
        self._out: deque[memoryview] = deque()
        self._queued = 0
        self._room = asyncio.Event()
        self._room.set()
        self._writing = self._paused = self._ending = False
        self._greeted = asyncio.Event()
        self._heard = self._sent = self._loop.time()
        self._timer = self._loop.call_later(PING_S / 2, self._tick)
        self._loop.add_reader(self._sock, self._readable)
        if first:
            self._loop.call_soon(self._feed, first)

    # requests

    async def call(
        self, do: str, data: bytes = b"", *, within: float | None = WITHIN_S, **fields: Any
    ) -> tuple[Head, bytes]:
        """The reply to one request; an answer in several parts comes as one, with its lists and data put together.

        Raises what the node reports as AfieldError, Unreachable when the link closes or `within` seconds pass.
        """
        replies = self.stream(do, data, **fields)
        try:
            async with asyncio.timeout(within):
                head, body = await anext(replies)
                parts = [body]
                while head.pop("more", False):
                    following, body = await anext(replies)
                    head = {k: head[k] + v if isinstance(v, list) and k in head else v for k, v in following.items()}
                    parts.append(body)
        except TimeoutError:
            raise Unreachable(
                f"{self.name} did not answer {do}", why=f"no reply in {within:g} s", code="silent"
            ) from None
        finally:
            await replies.aclose()
        head.pop("re")
        return head, parts[0] if len(parts) == 1 else b"".join(parts)

    async def stream(self, do: str, data: bytes = b"", **fields: Any) -> AsyncGenerator[tuple[Head, bytes], None]:
        """All replies to one request; each but the last has `more`. Leaving early cancels the request on the node."""
        number, replies = await self._ask(do, data, fields)
        last = False
        taken: dict[str, int] = {}
        try:
            while not last:
                reply = await replies.get()
                if replies.empty():
                    self.resume()
                if reply is None:
                    last = True
                    raise self._lost()
                head, body = reply
                last = not head.get("more")
                if "error" in head:
                    raise from_dict(head["error"])
                yield head, body
                if not last and "stream" in head:
                    self._took(number, head["stream"], len(body), taken)
        finally:
            self._waiting.pop(number, None)
            if not last:
                self._post({"do": "cancel", "request": number})

    async def begin(self, do: str, data: bytes = b"", **fields: Any) -> Callable[[], Awaitable[Head]]:
        """Send a request now; what is returned waits for its one reply. So many can be on their way, in their order."""
        number, replies = await self._ask(do, data, fields)

        async def end() -> Head:
            try:
                reply = await replies.get()
            finally:
                self._waiting.pop(number, None)
            if reply is None:
                raise self._lost()
            if "error" in reply[0]:
                raise from_dict(reply[0]["error"])
            return reply[0]

        return end

    async def _ask(self, do: str, data: bytes, fields: Head) -> tuple[int, asyncio.Queue[tuple[Head, bytes] | None]]:
        while not self._room.is_set() and not self._ending:
            await self._room.wait()
        if self._ending:
            raise self._lost()
        replies: asyncio.Queue[tuple[Head, bytes] | None] = asyncio.Queue()
        number = self._post({"do": do, **fields}, data)
        self._waiting[number] = replies
        return number, replies

    def _took(self, number: int, stream: str, size: int, taken: dict[str, int]) -> None:
        taken[stream] = taken.get(stream, 0) + size
        if taken[stream] >= CREDIT:
            self._post({"do": "took", "request": number, "stream": stream, "size": taken.pop(stream)})

    # life

    async def greeted(self, within: float = 20.0) -> None:
        """Returns once the node has said hello. Raises Unreachable."""
        gone = asyncio.ensure_future(self.closed.wait())
        hello = asyncio.ensure_future(self._greeted.wait())
        await asyncio.wait((gone, hello), timeout=within, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        hello.cancel()
        if not self._greeted.is_set():
            raise self._lost()

    @property
    def pid(self) -> int:
        """The process id of the carrier."""
        return self._carrier.pid

    async def wait_closed(self) -> str:
        """The reason, once the link is closed."""
        await self.closed.wait()
        return self.reason

    async def close(self) -> None:
        """Leave; shepherds on the node do not notice."""
        self._end("closed")
        await self._carrier.close()

    def pause(self) -> None:
        """Take nothing more from the node until `resume`; the node then holds its output back, not in memory."""
        if not self._paused and not self._ending:
            self._paused = True
            self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._paused and not self._ending:
            self._paused = False
            self._heard = self._loop.time()
            self._loop.add_reader(self._sock, self._readable)

    def _tick(self) -> None:
        now = self._loop.time()
        if not self._paused and now - max(self._heard, self._sent if self._queued else 0) > SILENT_S:
            self._end("silent")
            self._loop.create_task(self._carrier.close())
            return
        if now - self._heard >= PING_S or now - self._sent >= PING_S:
            self._post({"do": "ping"})
        self._timer = self._loop.call_later(PING_S / 2, self._tick)

    def _end(self, reason: str) -> None:
        if self._ending:
            return
        self._ending = True
        self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self.reason = reason
        self._out.clear()
        self._room.set()
        self.closed.set()
        for replies in self._waiting.values():
            replies.put_nowait(None)

    def _lost(self) -> AfieldError:
        code = "silent" if self.reason == "silent" else ""
        return Unreachable(f"the connection to {self.name} was lost", why=self.reason or "no answer", code=code)

    async def _bury(self) -> None:
        # Words of the carrier, which ends a moment after its output does.
        try:
            status = await asyncio.wait_for(self._carrier.ended(), 2.0)
        except TimeoutError:
            status = None
        lines = self._carrier.stderr.splitlines()
        self._end(lines[-1] if lines else "the runner's link ended" if status == 0 else f"ended with status {status}")
        await self._carrier.close()

    # bytes

    def _readable(self) -> None:
        try:
            size = self._sock.recv_into(_ROOM)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            with memoryview(_ROOM) as room:
                self._feed(room[:size])
        elif not self._ending:
            self._loop.remove_reader(self._sock)
            self._loop.create_task(self._bury())

    def _feed(self, data: bytes | memoryview) -> None:
        self._heard = self._loop.time()
        try:
            frames = self._decoder.feed(data)
        except wire.WireError as error:
            self._end(f"the node sent nonsense: {error}")
            self._loop.create_task(self._carrier.close())
            return
        for head, body in frames:
            if "re" in head:
                replies = self._waiting.get(head["re"])
                if replies is not None:
                    replies.put_nowait((head, body))
                    if self.most and replies.qsize() >= self.most:
                        self.pause()
            elif head.get("on") == "hello":
                self.hello = head
                self._greeted.set()
            elif self.on_push is not None:
                self.on_push(head, body)

    def _post(self, head: Head, data: bytes = b"") -> int:
        self._number += 1
        if self._ending:
            return self._number
        first = wire.prefix({**head, "id": self._number}, len(data))
        for part in (first, data) if data else (first,):
            self._out.append(memoryview(part))
            self._queued += len(part)
        if not self._writing:
            self._writable()
        return self._number

    def _writable(self) -> None:
        try:
            while self._out:
                with points.around("controller.send"):
                    written = self._sock.sendmsg(list(self._out)[:8])
                self._sent = self._loop.time()
                self._queued -= written
                self._advance(written)
        except BlockingIOError:
            pass
        except OSError:
            # Reading tells the same, with what came before it.
            self._out.clear()
            self._queued = 0
        self._set_writing(bool(self._out))
        if self._queued <= QUEUED:
            self._room.set()
        else:
            self._room.clear()

    def _advance(self, written: int) -> None:
        while self._out and written >= len(self._out[0]):
            written -= len(self._out.popleft())
        if written:
            self._out[0] = self._out[0][written:]

    def _set_writing(self, wanted: bool) -> None:
        if wanted != self._writing:
            self._writing = wanted
            if wanted:
                self._loop.add_writer(self._sock, self._writable)
            else:
                self._loop.remove_writer(self._sock)
