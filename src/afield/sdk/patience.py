"""How a client bears with a server that goes away: how long it waits, and what it was told before."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # read by type checkers as true; every command would pay for loading typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from afield.sdk.http import Gone

QUICK_S = 0.02
SLOW_S = 1.0


class Patience:
    """Waits a little longer after each fruitless try, and gives up after ten of them in a row."""

    MOST = 10

    def __init__(self) -> None:
        self.tries = 0

    def wait(self, error: Gone) -> None:
        """Wait before the next try. Raises the error when there were too many."""
        self.tries += 1
        if self.tries > self.MOST:
            raise error
        time.sleep(min(QUICK_S * 2**self.tries, SLOW_S))


class Told:
    """What a follower was told already, so that a break does not repeat it."""

    def __init__(self) -> None:
        self._job: object = None
        self._stages: list[object] = []

    def again(self, head: Mapping[str, Any]) -> bool:
        """Whether this is the very same news; remembers it."""
        if head["on"] == "job":
            before, self._job = self._job, head["job"]
            return bool(before == head["job"])
        if head["on"] == "stage":
            if head in self._stages:
                return True
            self._stages.append(dict(head))
        return False
