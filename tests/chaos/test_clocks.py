"""Wall clocks that jump by days while a job runs: no job ends before its time, none is lost, none hangs."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from afield.cli.show import moment
from afield.sdk.client import Client
from afield.testing.processes import Process, command_line, has_variable
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.chaos.kit import SEED, client_of, job, noted, report

STEPS = int(os.environ.get("AFIELD_CLOCK_STEPS", "3"))
JUMPS_S = (-86_400, 86_400, -3600, 3600, -7200, 7200, 400 * 86_400, 0)
NEAR_S = 600
LIBRARY = next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of all processes of a sandbox; monotonic clocks stay true, as they do on a real machine."""

    file: Path

    @property
    def variables(self) -> dict[str, str]:
        """What puts a process under this clock."""
        told = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}
        return {**told, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}

    def jump(self, seconds: int) -> None:
        """Sets the clock so far from the true one."""
        part = self.file.with_suffix(".new")
        part.write_text(f"{seconds:+d}\n")
        part.rename(self.file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    made = Clock(tmp_path / "clock")
    made.jump(0)
    return made


@pytest.fixture
def wrong_time(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(variables=clock.variables) as sandbox:
        yield sandbox


@pytest.mark.timeout(900)
def test_jumps_of_the_clock_end_nothing(clock: Clock, wrong_time: Sandbox) -> None:
    """Controller and node jump together; a job with a time limit of an hour, one that ends, one that is stopped."""
    dice, ledger = random.Random(SEED), wrong_time.root / "ledger"
    with client_of(wrong_time) as client:
        limited = job("sleep 3000", ledger)
        limited["request"]["time_limit_s"] = 3600.0
        long = client.submit([limited])[0]["number"]
        wait_until(lambda: noted(ledger, "begin", long), show=wrong_time.story)
        for step in range(STEPS):
            away = dice.choice(JUMPS_S)
            code = dice.randrange(200)
            bodies = [job("echo out; sleep 0.3", ledger, code=code) for _ in range(2)]
            numbers = [client.submit(bodies[:1])[0]["number"]]
            clock.jump(away)
            after = client.submit(bodies[1:])[0]
            numbers.append(after["number"])
            assert abs((moment(after["submitted_at"]) or 0) - time.time() - away) < NEAR_S, "the clock did not jump"
            for number in numbers:
                assert client.wait(number, 60)["exit_status"] == code, (step, away, client.job(number))
                assert noted(ledger, "begin", number) == [f"{number}.1"]
                wait_until(partial(_printed, client, number), show=wrong_time.story)
            assert client.job(long)["phase"] == "running", (step, away, client.job(long))
        _all_under(wrong_time)
        client.stop(long)
        assert client.wait(long, 60)["outcome"] == "stopped"
    report("clock_jumps", STEPS, 0)


def _printed(client: Client, number: int) -> bool:
    return b"".join(client.output(number)) == b"out\n"


def _all_under(sandbox: Sandbox) -> None:
    """The node's keeper lives in the wrong time, too; else the test would prove half of it."""
    ours = [p for p in sandbox.processes() if _matters(p)]
    assert len(ours) > 1
    assert all(has_variable(p, "LD_PRELOAD", str(LIBRARY)) for p in ours), [command_line(p) for p in ours]


def _matters(process: Process) -> bool:
    return process.name == "afield-keeper" or "afield.server" in command_line(process)
