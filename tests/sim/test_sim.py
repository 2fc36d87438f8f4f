"""Thousands of seeded schedules: nothing is lost, doubled or guessed, and the same seed runs the same way."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kit import record
from tests.sim.run import counted, many, one, quiet, tell

SCHEDULES = int(os.environ.get("AFIELD_SCHEDULES", "5000"))
BASE = int(os.environ.get("AFIELD_SEED_BASE", "0"))
ROOT = Path(__file__).resolve().parent.parent.parent

QUIET: dict[str, Any] = {
    "pause": 0.1,
    "split": 0.0,
    "stall": 0.0,
    "latency": 0.002,
    "pieces": 0.0,
    "twice": 0.0,
    "late": 0.0,
    "pids": 2000,
    "subreapers": True,
    "kills": {},
    "timed": {},
}


pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(autouse=True)
def garbage() -> Iterator[None]:
    """What is left of killed controllers goes while nobody listens."""
    yield
    with quiet():
        gc.collect()


@pytest.mark.timeout(1200)
def test_no_schedule_loses_a_job() -> None:
    totals = many(BASE, BASE + SCHEDULES, 1, 20)
    print(tell(totals, totals.seconds))
    record(counted(totals, BASE))
    assert not totals.violations, tell(totals, totals.seconds)
    assert not totals.mismatches


def test_the_order_of_hashes_does_not_matter() -> None:
    command = [sys.executable, "-m", "tests.sim.run", "--seeds", "0:12", "--twice", "0", "--json"]
    told = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert json.loads(told[0])["trace"] == json.loads(told[1])["trace"]


def test_without_faults_everything_ends_as_the_programs_do() -> None:
    for seed in range(30):
        world, wrong = one(seed, only=QUIET)
        assert not wrong, f"seed {seed}: {wrong}"
        outcomes = {str(a.outcome) for j in world.host.store.jobs() for a in j.attempts}
        assert not outcomes & {"lost", "never_started"}, f"seed {seed}: {outcomes}"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            {"timed": {"store full": 6, "unreachable": 3}}, id="a full store loses no news and ends no session"
        ),
        pytest.param({"kills": {"clerk": 8}}, id="a killed clerk costs no job its end"),
        pytest.param({"timed": {"disk full": 6}, "split": 0.5}, id="a full disk"),
        pytest.param({"timed": {"power cut": 4}, "split": 0.5}, id="power cuts"),
        pytest.param({"kills": {"both": 5}, "pids": 40}, id="both watchers"),
        pytest.param({"timed": {"mute": 6, "cut": 6}, "pieces": 0.5}, id="connections"),
    ],
)
def test_one_kind_of_fault(faults: dict[str, Any]) -> None:
    for seed in range(40):
        _, wrong = one(seed, only={**QUIET, **faults})
        assert not wrong, f"seed {seed}: {wrong}"
