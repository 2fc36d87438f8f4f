"""An asyncio event loop on virtual time: the controller runs on it unchanged. One loop is one life of a controller."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable
from typing import Any

from tests.sim.scheduler import Handle, Scheduler


class VirtualLoop(asyncio.AbstractEventLoop):
    """What asyncio and our code ask of a loop, and no more. `work_s()` gives how long a thread works."""

    def __init__(self, scheduler: Scheduler, work_s: Callable[[], float]) -> None:
        self.scheduler = scheduler
        self.dead = False
        self.paused = False
        self.backlog: list[Handle] = []
        self.trouble: list[str] = []
        self.shots: dict[int, Callable[[], None]] = {}
        self.steps = 0
        self._work_s = work_s
        self._tasks: list[asyncio.Task[Any]] = []
        self._readers: dict[Any, Callable[[], None]] = {}

    def enter(self) -> None:
        """From here on this is the running loop."""
        events._set_running_loop(self)

    def kill(self) -> None:
        """The process of this loop is gone: nothing of it happens any more."""
        self.dead = True
        self.backlog.clear()
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        events._set_running_loop(None)

    # ---- what asyncio asks

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def time(self) -> float:
        return self.scheduler.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        self.steps += 1
        if self.steps in self.shots:
            self.scheduler.soon(self, self.shots.pop(self.steps))
        return self.scheduler.soon(self, callback, *args)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        return self.scheduler.at(self.scheduler.now + max(0.0, delay), self, callback, *args)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        return self.scheduler.at(max(when, self.scheduler.now), self, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """A thread's work happens at one moment, a little later: a kill falls before or after it."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                value = func(*args)
            except Exception as error:  # noqa: BLE001 whatever it is, it is the answer to who waits for the thread
                self.call_later(self._work_s(), self._settle, future, None, error)
            else:
                self.call_later(self._work_s(), self._settle, future, value, None)

        self.call_later(self._work_s(), work)
        return future

    def _settle(self, future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.trouble.append(f"{context.get('message')}: {context.get('exception')!r}")

    # ---- sockets that are none

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self._readers[fd] = callback
        fd.heard_by(self)

    def remove_reader(self, fd: Any) -> bool:
        return self._readers.pop(fd, None) is not None

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self.call_later(0.001, callback)

    def remove_writer(self, fd: Any) -> bool:
        return False

    def readable(self, fd: Any) -> None:
        """A socket has something; tells its reader, again and again while it has."""
        if fd in self._readers and not fd.told:
            fd.told = True
            self.call_soon(self._tell, fd)

    def _tell(self, fd: Any) -> None:
        fd.told = False
        reader = self._readers.get(fd)
        if reader is not None and fd.something:
            reader()
            if fd.something:
                self.readable(fd)
