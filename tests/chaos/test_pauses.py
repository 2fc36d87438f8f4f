"""SIGSTOP for a while, then SIGCONT: a laptop that sleeps. Who comes back late must do no harm.

Here the pause is longer than what locks and starts are waited for; AFIELD_PAUSE_S=100 is longer than every timeout.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from afield.testing.waiting import wait_until
from tests.chaos.arena import Arena, Tools
from tests.chaos.census import Census
from tests.chaos.zygote import Zygote

PAUSE_S = float(os.environ.get("AFIELD_PAUSE_S", "4"))
LIVE = 6
JOBS = 12


@pytest.fixture
def arena() -> Iterator[Arena]:
    zygote = Zygote()
    made = Arena(Tools(zygote, Census()), random.Random(1))
    yield made
    made.close()
    zygote.close()


def _busy(arena: Arena, role: str) -> None:
    """Work until a process of the role has been stopped in the middle of it."""

    def caught() -> bool:
        arena.drive(LIVE)
        return len(arena.wishes) >= JOBS and arena.kill(role, signal.SIGSTOP)

    arena.ensure()
    wait_until(caught, within_s=60.0, show=arena.sandbox.story)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["link", "keeper", "shepherd"])
def test_a_runner_that_slept_does_no_harm(arena: Arena, role: str) -> None:
    _busy(arena, role)
    until = time.monotonic() + PAUSE_S
    while time.monotonic() < until:
        arena.drive(LIVE)
        time.sleep(0.05)
    _wake(arena)
    assert not (wrong := arena.drain()), "\n".join([*wrong, arena.story()])


@pytest.mark.timeout(900)
def test_a_controller_that_slept_does_no_harm(arena: Arena) -> None:
    _busy(arena, "controller")
    (asleep,) = arena.controllers
    second = arena.raise_one()
    until = time.monotonic() + PAUSE_S

    def refused() -> bool:
        arena.bury()
        return second not in arena.controllers and time.monotonic() > until

    wait_until(refused, within_s=PAUSE_S + 60, show=arena.sandbox.story)
    os.kill(asleep, signal.SIGCONT)
    assert not (wrong := arena.drain()), "\n".join([*wrong, arena.story()])
    assert arena.controllers == [asleep]


def _wake(arena: Arena) -> None:
    for process in arena.census.living(arena.sandbox.id):
        process.send(signal.SIGCONT)
