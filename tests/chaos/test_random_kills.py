"""SIGKILL at random moments of everything of ours, two controllers racing now and then; the ledger is the judge."""

from __future__ import annotations

import os

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.kit import SEED, report

KILLS = int(os.environ.get("AFIELD_KILLS", "2000"))


@pytest.mark.timeout(36000)
def test_random_kills_lose_nothing() -> None:
    totals = Campaign(SEED, KILLS).run()
    counts = {"jobs": totals.jobs, "attempts": totals.attempts, "lost, honestly": totals.lost_honest}
    report("random_kills", sum(totals.kills.values()), len(totals.violations), **totals.kills, **counts)
    assert not totals.violations, "\n".join([f"seed {SEED}", *totals.violations, *totals.stories])
    assert sum(totals.kills.values()) == KILLS, f"seed {SEED}: the campaign stopped early"
    assert set(totals.exits) <= {"0", "-9"}, f"seed {SEED}: a controller broke: {totals.exits}"
