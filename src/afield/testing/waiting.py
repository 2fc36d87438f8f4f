"""Waits until something is so, with a deadline; says what was seen last when it never was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    *,
    within_s: float = 20.0,
    every_s: float = 0.01,
    show: Callable[[], object] | None = None,
) -> T:
    """The first true answer of `condition`. Raises AssertionError with its last answer, and with what `show` gives."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            seen = f"\n{show()}" if show is not None else ""
            raise AssertionError(f"not so within {within_s:g} s; last answer: {answer!r}{seen}")
        time.sleep(every_s)
    return answer
