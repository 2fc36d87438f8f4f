"""The clock and the chance of this machine."""

from __future__ import annotations

import random
import secrets
import time

from afield.model.ports import Ports


class _Clock:
    def wall(self) -> float:
        return time.time()

    def mono(self) -> float:
        return time.monotonic()


class _Chance:
    def between(self, low: float, high: float) -> float:
        return random.uniform(low, high)

    def token(self) -> str:
        return secrets.token_hex(16)


REAL = Ports(_Clock(), _Chance())
