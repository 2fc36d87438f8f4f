"""SIGKILL at random moments of everything of ours, and an independent ledger that the job bodies write.

The truth is the ledger, never our own store: each body appends `begin` and `end`. Then: no job is lost, no attempt
is doubled, no two attempts of a job overlap, and every exit code is right. Where both watchers of a program were
killed while it ran, its attempt is lost, honestly: half of the jobs then run again (`rerun`), half say so (`pass`).
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from afield.cli.show import moment
from afield.errors import AfieldError
from afield.sdk.client import Client, submit_key
from afield.testing.processes import Process, command_line, look
from afield.testing.sandbox import Sandbox

KILLS = int(os.environ.get("AFIELD_KILLS", "500"))
SEED = int(os.environ.get("AFIELD_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
LIVE = 12
BODY = """
echo "begin $AFIELD_JOB.$AFIELD_ATTEMPT" >> "$LEDGER"
sleep "$LASTS"
echo "end $AFIELD_JOB.$AFIELD_ATTEMPT $CODE" >> "$LEDGER"
exit "$CODE"
"""


@dataclass(slots=True)
class Campaign:
    """What was submitted and what was killed; `jobs` maps a job's number to the code that its body ends with."""

    sandbox: Sandbox
    client: Client
    dice: random.Random
    jobs: dict[int, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    runner_kills: list[float] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """The file that the bodies write."""
        return self.sandbox.root / "ledger"

    def fill(self) -> None:
        """Submit until enough jobs are unfinished."""
        missing = LIVE - len(self.client.jobs(all=False, limit=LIVE))
        if missing > 0:
            codes = [self.dice.randrange(256) for _ in range(missing)]
            bodies = [self._body(code) for code in codes]
            for view, code in zip(self.client.submit(bodies), codes, strict=True):
                self.jobs[view["number"]] = code

    def _body(self, code: int) -> dict[str, Any]:
        variables = {"LEDGER": str(self.ledger), "CODE": str(code), "LASTS": f"{self.dice.uniform(0.05, 0.8):.3f}"}
        task = {"argv": ["sh", "-c", BODY], "variables": sorted(variables.items())}
        request = {"groups": [{"cpu": 0.05}]}
        body = {"key": submit_key(), "name": "", "user": "me", "task": task, "request": request}
        return {**body, "policy": self.dice.choice(["pass", "rerun"]), "nodes": ["local"]}

    def kill_one(self) -> bool:
        """SIGKILL one process of ours; whether there was one."""
        roles = {p: _role(p) for p in self.sandbox.processes()}
        chosen = self.dice.choice(["controller", "link", "keeper", "shepherd", "shepherd"])
        victims = [p for p, role in roles.items() if role == chosen]
        if not victims:
            return False
        victim = self.dice.choice(victims)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.kills[chosen] = self.kills.get(chosen, 0) + 1
        if chosen in ("keeper", "shepherd"):
            self.runner_kills.append(time.time())
        return True


def _role(process: Process) -> str:
    if "afield.server" in command_line(process):
        return "controller"
    role = process.name.removeprefix("afield-")
    if role == "shepherd" and (parent := look(process.parent)) is not None and parent.name == process.name:
        return ""  # a program on its way to its gate
    return role if role in ("link", "keeper", "shepherd") else ""


@contextmanager
def _client(sandbox: Sandbox) -> Iterator[Client]:
    before = dict(os.environ)
    os.environ.update(sandbox.env)
    try:
        with Client() as client:
            yield client
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.timeout(900)
def test_random_kills_lose_nothing(sandbox: Sandbox) -> None:
    print(f"seed {SEED}")
    with _client(sandbox) as client:
        campaign = Campaign(sandbox, client, random.Random(SEED))
        while sum(campaign.kills.values()) < KILLS:
            try:
                campaign.fill()
            except AfieldError as error:
                if error.code != "unreachable":
                    raise
            campaign.kill_one()
            time.sleep(campaign.dice.uniform(0.0, 0.15))
        views = {number: _end(campaign, number) for number in campaign.jobs}
    print(f"{len(views)} jobs, kills {campaign.kills}, lost {_count(views, 'lost')}")
    wrong = _judge(campaign, views)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong, sandbox.story()])


def _end(campaign: Campaign, number: int) -> dict[str, Any]:
    """The job's view once it has ended; one that is held after three lost attempts is released, as a person would."""
    deadline = time.monotonic() + 180
    while (view := campaign.client.job(number))["outcome"] is None and time.monotonic() < deadline:
        if "in a row" in view["reason"]:
            campaign.client.release(number)
        time.sleep(0.1)
    return view


def _count(views: dict[int, dict[str, Any]], outcome: str) -> int:
    return sum(v["outcome"] == outcome for v in views.values())


def _judge(campaign: Campaign, views: dict[int, dict[str, Any]]) -> list[str]:
    lines = [line.split() for line in campaign.ledger.read_text().splitlines()]
    wrong = []
    for number, view in views.items():
        mine = [line for line in lines if line[1].split(".")[0] == str(number)]
        wrong += [f"job {number}: {fault}" for fault in _faults(campaign, view, mine)]
    return wrong


def _faults(campaign: Campaign, view: dict[str, Any], mine: list[list[str]]) -> Iterator[str]:
    code = campaign.jobs[view["number"]]
    begins = [line[1] for line in mine if line[0] == "begin"]
    if len(begins) != len(set(begins)):
        yield f"an attempt began twice: {begins}"
    for before, after in itertools.pairwise(mine):
        if after[0] == "end" and (before[0], before[1]) != ("begin", after[1]):
            yield f"attempts overlap: {mine}"
    if mine[-1:] and mine[-1][0] == "begin" and view["outcome"] != "lost":
        yield f"the last body never ended, the outcome is {view['outcome']}: {view['reason']}"
    if view["outcome"] is None:
        yield f"has no end: {view['phase']} {view['reason']} {view['attempts']}"
    elif view["outcome"] != "lost" and view["exit_status"] != code:
        yield f"{view['outcome']} with exit code {view['exit_status']}, the body ended with {code}: {view['reason']}"
    for attempt in view["attempts"]:
        if attempt["outcome"] in ("failed", "succeeded") and f"{view['number']}.{attempt['number']}" not in begins:
            yield f"attempt {attempt['number']} {attempt['outcome']} without a body"
        if attempt["outcome"] == "lost" and not _both_killed(campaign, attempt):
            yield f"attempt {attempt['number']} is lost although not both watchers were killed: {attempt['detail']}"


def _both_killed(campaign: Campaign, attempt: dict[str, Any]) -> bool:
    begin, end = moment(attempt["placed_at"]) or 0.0, moment(attempt["ended_at"]) or 0.0
    return sum(begin - 0.5 <= at <= end + 0.5 for at in campaign.runner_kills) >= 2
