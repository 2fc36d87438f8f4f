"""A submitted function: a job, and a real `concurrent.futures.Future` of what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from afield.sdk.client import Client
from afield.sdk.job import Job

R = TypeVar("R")

UNSTARTED = ("queued", "starting")


class Call(Future[R], Job):
    """The call of a function in a job: `result()` gives its value or raises its exception, with the remote traceback.

    Also a `Job` with all its verbs, and awaitable. Who loses it gets the same by `afield.job(number).result()`.
    """

    def __init__(self, client: Client, view: dict[str, Any]) -> None:
        Future.__init__(self)
        Job.__init__(self, client, view)
        self._begun = False

    def __repr__(self) -> str:
        return f"<Call {self.number} {self.name!r} {self.view['phase']}>"

    def __await__(self) -> Generator[Any, None, R]:
        return self.result_async().__await__()

    async def result_async(self, timeout: float | None = None) -> R:
        """`result` for asyncio; the call goes on when this is cancelled or takes too long."""
        loop = asyncio.get_running_loop()
        settled = asyncio.Event()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop may be over before the call is
                loop.call_soon_threadsafe(settled.set)

        self.add_done_callback(tell)
        async with asyncio.timeout(timeout):
            await settled.wait()
        return self.result()

    def cancel(self) -> bool:
        """Stop the job if it has not begun; whether the call is cancelled. A running one is ended by `stop()`."""
        if self.done() or self.refresh().view["phase"] not in UNSTARTED:
            return self.cancelled()
        if self.stop().view["outcome"] not in (None, "stopped") or not super().cancel():
            return self.cancelled()
        self.set_running_or_notify_cancel()
        return True

    def begin(self) -> None:
        """The program has started: from now on it is running."""
        if not self._begun and not self.done():
            self._begun = self.set_running_or_notify_cancel()

    def settle(self, value: R | None, error: Exception | None) -> None:
        """The end, once: what `result()` gives or raises."""
        if self.done():
            return
        self.begin()
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(value)  # type: ignore[arg-type]

    def bring(self) -> None:
        """Fetch what the ended job gave. Raises Unreachable while its node does not answer."""
        self.refresh()
        self.settle(*self._outcome())
