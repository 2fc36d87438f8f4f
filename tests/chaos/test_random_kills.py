"""SIGKILL at random moments of everything of ours, two controllers racing now and then; the ledger is the judge."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict

import pytest

from tests.chaos.campaign import Campaign

KILLS = int(os.environ.get("AFIELD_KILLS", "2000"))
SEED = int(os.environ.get("AFIELD_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


@pytest.mark.timeout(1800)
def test_random_kills_lose_nothing() -> None:
    totals = Campaign(SEED, KILLS).run()
    print(json.dumps({**asdict(totals), "violations": len(totals.violations)}))
    assert sum(totals.kills.values()) == KILLS, f"seed {SEED}: the campaign stopped early\n" + "\n".join(
        totals.violations
    )
    assert not totals.violations, "\n".join([f"seed {SEED}", *totals.violations])
    assert set(totals.exits) <= {"0", "-9"}, f"seed {SEED}: a controller broke: {totals.exits}"
