"""`afield.Executor`: jobs behind the interface of `concurrent.futures`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from afield.sdk import calls
from afield.sdk.call import Call
from afield.sdk.function import Function, check
from afield.sdk.options import Options

P = ParamSpec("P")
R = TypeVar("R")


class Executor(futures.Executor):
    """Each submitted function is a job with these options, on top of its own if it is decorated.

    As many run at once as nodes have room for. Leaving the block waits for all of them. A program that dies leaves its
    jobs alone: `afield ps` knows them.
    """

    def __init__(self, *, folder: str | Path | None = None, **options: Unpack[Options]) -> None:
        self._options: Mapping[str, Any] = options
        check(self._options)
        self._folder = folder
        self._calls: list[Call[Any]] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """The call of `fn` in a job. Raises UsageError, NothingFits, and RuntimeError after `shutdown`."""
        return self._submit(fn, [(args, kwargs)])[0]

    def map(
        self, fn: Callable[..., R], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[R]:
        """As the built-in: results in order; TimeoutError after so many seconds. `chunksize` is for other executors."""
        end = None if timeout is None else time.monotonic() + timeout
        # As long as the shortest, like the built-in.
        rows: list[calls.Arguments] = [(row, {}) for row in zip(*iterables, strict=False)]
        return _results(self._submit(fn, rows), end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; wait for what was submitted, and with `cancel_futures` stop what has not begun."""
        with self._lock:
            self._closed = True
            left = [call for call in self._calls if not call.done()]
        if cancel_futures:
            for call in left:
                call.cancel()
        if wait:
            futures.wait(left)

    def _submit(self, fn: Callable[..., R], rows: Sequence[calls.Arguments]) -> list[Call[R]]:
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
        function, options = (
            (fn.function, {**fn.chosen, **self._options}) if isinstance(fn, Function) else (fn, self._options)
        )
        made = cast(list[Call[R]], calls.submit(function, rows, options, self._folder))
        with self._lock:
            self._calls = [call for call in self._calls if not call.done()] + made
        return made


def _results(made: Sequence[Call[R]], end: float | None) -> Iterator[R]:
    try:
        for call in made:
            yield call.result(None if end is None else max(0.0, end - time.monotonic()))
    finally:
        for call in made:
            call.cancel()
