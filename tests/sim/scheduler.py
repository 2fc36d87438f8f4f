"""Virtual time: one queue of things to happen, in an order that the seed decides. Nothing here waits for real."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Owner(Protocol):
    """Whose doing something is: nothing of the dead happens, and nothing of the paused until they go on."""

    dead: bool
    paused: bool
    backlog: list[Handle]


class Always:
    """The owner of what the world itself does."""

    dead = False
    paused = False
    backlog: list[Handle]


class Handle:
    """One thing that will happen; `cancel` unless it did."""

    __slots__ = ("args", "call", "off", "owner", "when_")

    def __init__(self, owner: Any, call: Callable[..., Any], args: tuple[Any, ...], when: float) -> None:
        self.owner = owner
        self.call = call
        self.args = args
        self.off = False
        self.when_ = when

    def cancel(self) -> None:
        """It will not happen."""
        self.off = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.off

    def when(self) -> float:
        """The virtual time it is meant for."""
        return self.when_


class Scheduler:
    """The queue. `now` is virtual seconds; `events` counts what happened, `trace` is a hash of when and what."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events = 0
        self.trace = 0
        self._heap: list[tuple[float, int, Handle]] = []
        self._ready: deque[Handle] = deque()
        self._number = 0

    def soon(self, owner: Any, call: Callable[..., Any], *args: Any) -> Handle:
        """Behind what is due now."""
        handle = Handle(owner, call, args, self.now)
        self._ready.append(handle)
        return handle

    def at(self, when: float, owner: Any, call: Callable[..., Any], *args: Any) -> Handle:
        """At a time."""
        handle = Handle(owner, call, args, when)
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, handle))
        return handle

    def after(self, delay: float, owner: Any, call: Callable[..., Any], *args: Any) -> Handle:
        """After a time."""
        return self.at(self.now + delay, owner, call, *args)

    def note(self, code: int) -> None:
        """Takes a number into the trace."""
        self.trace = (self.trace * 1000003 ^ code ^ int(self.now * 1e6)) & 0xFFFFFFFFFFFFFFFF

    def resume(self, owner: Any) -> None:
        """Lets a paused owner go on with what it missed."""
        owner.paused = False
        backlog, owner.backlog = owner.backlog, []
        self._ready.extend(backlog)

    def run(self, until: float, done: Callable[[], bool], most: int) -> bool:
        """Makes things happen until `done()`, a time, or too many of them; whether it was done."""
        ready, heap = self._ready, self._heap
        limit = self.events + most
        checked = 0
        while self.events < limit:
            if not ready:
                if not heap or heap[0][0] > until:
                    return done()
                self.now, _, handle = heapq.heappop(heap)
                if checked != self.events and done():
                    return True
                checked = self.events
            else:
                handle = ready.popleft()
            owner = handle.owner
            if handle.off or owner.dead:
                continue
            if owner.paused:
                owner.backlog.append(handle)
                continue
            self.events += 1
            handle.call(*handle.args)
        return False
