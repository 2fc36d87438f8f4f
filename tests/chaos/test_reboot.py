"""Hosts whose power is cut at any moment and comes back: what ran is lost, and says so; nothing runs twice at once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from afield.testing.waiting import wait_until
from tests.chaos.far import Far, Talk, far_away
from tests.chaos.kit import SEED, noted, report

REBOOTS = int(os.environ.get("AFIELD_REBOOTS", "4"))

pytestmark = [pytest.mark.usefixtures("needs_sshd"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    with far_away(1) as made:
        yield made


def test_a_reboot_at_any_moment_is_honest(far: Far) -> None:
    """Half of the jobs run again, half say that they are lost; those that had ended keep their end."""
    dice, host = random.Random(SEED), far.hosts[0]
    totals = {"reboots": 0, "lost": 0, "ended before": 0, "started anew": 0, "wrong": 0}
    wrong: list[str] = []
    while totals["reboots"] < REBOOTS and not wrong:
        policy, code = ("rerun", "pass")[totals["reboots"] % 2], dice.randrange(1, 256)
        talk = Talk(str(dice.random()), 4096 * dice.randrange(1, 80), 4096, 0.05)
        number = far.client.submit([{**far.talk(host.name, talk, code), "policy": policy}])[0]["number"]
        moment = ("begun", "at once", "printed")[totals["reboots"] % 3]
        wait_until(partial(_reached, far, number, moment), show=far.sandbox.story)
        host.reboot()
        totals["reboots"] += 1
        view = far.end(number)
        wrong += [f"{moment}, {policy}: {fault}" for fault in _faults(far, view, policy, code)]
        outcomes = [attempt["outcome"] for attempt in view["attempts"]]
        totals["lost"] += outcomes.count("lost")
        totals["ended before"] += outcomes[0] == "failed"
        totals["started anew"] += len(outcomes) > 1
    report("reboots", totals.pop("reboots"), len(wrong), **totals)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])
    assert totals["lost"] or totals["ended before"]


def _reached(far: Far, number: int, moment: str) -> bool:
    if moment == "begun":
        return bool(noted(far.ledger(far.hosts[0].name), "begin", number))
    return moment == "at once" or bool(b"".join(far.client.output(number)))


def _faults(far: Far, view: dict[str, Any], policy: str, code: int) -> Iterator[str]:
    attempts = view["attempts"]
    ledger = far.ledger(far.hosts[0].name)
    begins, ends = noted(ledger, "begin", view["number"]), noted(ledger, "end", view["number"])
    if len(begins) != len(set(begins)):
        yield f"an attempt began twice: {begins}"
    for attempt in attempts:
        name = f"{view['number']}.{attempt['number']}"
        if attempt["outcome"] == "lost" and "reboot" not in attempt["detail"]:
            yield f"{name} is lost without saying why: {attempt}"
        if attempt["outcome"] == "failed" and (name not in ends or attempt["exits"][0]["code"] != code):
            yield f"{name} ended with {attempt['exits']}, not {code}; the ledger has {ends}"
        if attempt["outcome"] not in ("lost", "failed", "never_started"):
            yield f"{name} {attempt['outcome']}: {attempt}"
    if policy == "rerun" and view["outcome"] != "failed":
        yield f"it does not run again: {view['outcome']} {view['reason']}"
    if policy == "pass" and view["outcome"] not in ("lost", "failed"):
        yield f"it ended as {view['outcome']}: {attempts}"


def test_trees_are_not_trusted_after_a_reboot(far: Far) -> None:
    """A power cut may tear files that were never synced: the copy of the code is proven again before it is used."""
    host, sandbox = far.hosts[0], far.sandbox
    program = sandbox.project / "train.py"
    program.write_text("print('as it was written')\n")
    words = ["run", "-n", host.name, "--", "python3", "train.py"]
    assert sandbox.afield(*words).stdout == b"as it was written\n"
    host.kill_everything()
    torn = [path for path in Path(host.home, ".afield").rglob("train.py") if "jobs" not in path.parts]
    for path in torn:
        path.write_text("print('torn')\n")
    host.reboot()
    done = sandbox.afield(*words)
    assert done.stdout == b"as it was written\n", (torn, done.stderr)
    assert torn
