"""A process number that comes back belongs to a stranger: it is neither signalled nor taken for what it was."""

from __future__ import annotations

import os

import pytest

from tests.chaos.kit import SEED, report, run_inside

REUSES = os.environ.get("AFIELD_REUSES", "15")


@pytest.mark.timeout(1800)
def test_a_stranger_with_an_old_number_is_left_alone() -> None:
    kinds = ["--pid", "--mount", "--mount-proc"]
    totals = run_inside(kinds, "tests.chaos.reuse:rounds", REUSES, str(SEED))
    wrong = totals.pop("wrong")
    reused = totals.pop("same number again")
    report("pid_reuses", reused, len(wrong), **totals)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])
    assert reused > int(REUSES) // 2
