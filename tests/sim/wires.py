"""The connection between controller and node: bytes that take time, are cut anywhere, or vanish without a word."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.sim.loop import VirtualLoop
from tests.sim.scheduler import Always, Handle

if TYPE_CHECKING:
    from tests.sim.world import World

WORLD = Always()


class Lane:
    """One direction. In order; what is under way when it is cut arrives in part."""

    def __init__(self, world: World, deliver: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self.world = world
        self.mute = False
        self._deliver = deliver
        self._ended = ended
        self._last = 0.0
        self._under_way: deque[tuple[Handle, bytes]] = deque()
        self._closed = False

    @property
    def broken(self) -> bool:
        """Whether nothing goes through any more."""
        return self.mute or self._closed

    def send(self, data: bytes) -> None:
        """Puts bytes on the way."""
        if self.mute or self._closed:
            return
        world = self.world
        size = world.dice.randrange(1, len(data) + 1) if world.dice.random() < world.faults.pieces else len(data)
        for part in filter(None, (data[:size], data[size:])):
            self._last = max(self._last, world.scheduler.now + world.latency())
            self._under_way.append((world.scheduler.at(self._last, WORLD, self._arrive), part))

    def close(self) -> None:
        """Nothing more comes behind what is under way."""
        if not self._closed:
            self._closed = True
            if not self.mute:
                self._last = max(self._last, self.world.scheduler.now + self.world.latency())
                self.world.scheduler.at(self._last, WORLD, self._ended)

    def cut(self) -> None:
        """What is under way is lost from some byte on; the end is heard of later."""
        dice = self.world.dice
        keep = dice.randint(0, len(self._under_way))
        while len(self._under_way) > keep:
            handle, part = self._under_way.pop()
            handle.cancel()
            if len(self._under_way) == keep and len(part) > 1:
                self._under_way.append((handle, part[: dice.randrange(1, len(part))]))
                handle.off = False
                break
        self.close()

    def _arrive(self) -> None:
        """What came at the same time is read at once, as by a process that was busy until then."""
        handle, data = self._under_way.popleft()
        while self._under_way and self._under_way[0][0].when() == handle.when():
            other, part = self._under_way.popleft()
            other.cancel()
            data += part
        if not self.mute:
            self._deliver(data)


class Sock:
    """The controller's end, as transport.Link uses a socket."""

    def __init__(self, room: int) -> None:
        self.told = False
        self.closed = False
        self.lane: Lane | None = None
        self._inbox = bytearray()
        self._over = False
        self._room = room
        self._loop: VirtualLoop | None = None

    @property
    def something(self) -> bool:
        """Whether there is something to receive, if only the end."""
        return bool(self._inbox) or self._over

    def heard_by(self, loop: VirtualLoop) -> None:
        """A loop wants to know when something comes."""
        self._loop = loop
        if self.something:
            loop.readable(self)

    def arrived(self, data: bytes) -> None:
        """Bytes came."""
        self._inbox += data
        if self._loop is not None and not self.closed:
            self._loop.readable(self)

    def over(self) -> None:
        """The end came."""
        self._over = True
        if self._loop is not None and not self.closed:
            self._loop.readable(self)

    def recv_into(self, room: Any) -> int:
        """As a socket does."""
        if not self._inbox:
            if self._over:
                return 0
            raise BlockingIOError
        size = min(len(room), len(self._inbox))
        room[:size] = self._inbox[:size]
        del self._inbox[:size]
        return size

    def sendmsg(self, parts: list[Any]) -> int:
        """As a socket does; takes no more than it has room for."""
        if self.closed or self._over:
            raise BrokenPipeError
        data = b"".join(bytes(p) for p in parts)[: self._room]
        assert self.lane is not None
        self.lane.send(data)
        return len(data)

    def close(self) -> None:
        """As a socket does."""
        if not self.closed:
            self.closed = True
            if self.lane is not None:
                self.lane.close()


class Carrier:
    """What carries a link, as transport.Link uses it."""

    def __init__(self, loop: VirtualLoop, sock: Sock) -> None:
        self.sock = sock
        self.pid = 0
        self.stderr = ""
        self._loop = loop

    async def ended(self) -> int:
        """The carrier's status, once the other side is gone."""
        future = self._loop.create_future()
        self._loop.call_later(0.01, future.set_result, 255)
        return int(await future)

    async def close(self, grace_s: float = 2.0) -> int:
        """Lets go."""
        self.sock.close()
        return 0


class Wire:
    """One connection: the two lanes between a socket of the controller and a link on a node."""

    def __init__(self, world: World, sock: Sock, heard: Callable[[bytes], None], left: Callable[[], None]) -> None:
        self.up = Lane(world, heard, left)
        self.down = Lane(world, sock.arrived, sock.over)
        self._sock = sock
        sock.lane = self.up

    @property
    def open(self) -> bool:
        """Whether both sides have it and bytes go through."""
        return not (self._sock.closed or self._sock.something or self.up.broken or self.down.broken)

    def cut(self) -> None:
        """Both sides lose it."""
        self.up.cut()
        self.down.cut()

    def mute(self, which: str) -> None:
        """Bytes vanish from now on: `up`, `down` or `both`; nobody is told."""
        self.up.mute = self.up.mute or which in ("up", "both")
        self.down.mute = self.down.mute or which in ("down", "both")
