"""Disks that fill up in steps of a few KB, on the node and on the controller: nothing is lost, nothing half-done."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.kit import report, run_inside

STEPS = os.environ.get("AFIELD_DISK_STEPS", "6")
STRIDE = os.environ.get("AFIELD_DISK_STRIDE", "4")
SWEEPS = (("node", "bytes"), ("node", "files"), ("controller", "bytes"), ("controller", "files"))


@pytest.mark.timeout(1800)
def test_a_full_disk_loses_nothing() -> None:
    """All sweeps at once, because each of them mostly waits."""
    with ThreadPoolExecutor(len(SWEEPS)) as pool:
        asked = [
            pool.submit(run_inside, ["--mount"], "tests.chaos.full_disk:sweep", where, kind, STEPS, STRIDE)
            for where, kind in SWEEPS
        ]
        found = {" ".join(sweep): each.result() for sweep, each in zip(SWEEPS, asked, strict=True)}
    wrong = [f"{name}: {fault}" for name, totals in found.items() for fault in totals.pop("wrong")]
    report("disk_full", int(STEPS) * len(SWEEPS), len(wrong), **found)
    assert not wrong, "\n".join(wrong)
    assert found["node bytes"]["waited"], "the node's disk was never full"
    assert found["controller bytes"]["refused"], "the controller's disk was never full"


@pytest.mark.parametrize("how", ["quiet", "cut"])
def test_an_end_that_could_not_be_recorded_is_recorded_later(how: str) -> None:
    assert run_inside(["--mount"], "tests.chaos.full_disk:while_running", how) == []
