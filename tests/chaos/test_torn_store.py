"""The store of a busy controller, copied in the middle of its work, its write-ahead log cut or torn anywhere.

The controller is held still for the copy: so the files are what a power cut at that moment finds. What had been said
to a client before is there; of what came later each transaction is there whole or not at all.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from afield.model.event import Record
from afield.model.machine import fold
from afield.model.world import World
from afield.sdk.client import Client
from afield.store.port import unfinished
from afield.store.sqlite import SqliteStore
from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.chaos.kit import SEED, client_of, job, report

COPIES = int(os.environ.get("AFIELD_COPIES", "15"))
TEARS = 2
SALT = slice(16, 24)


@dataclass(frozen=True, slots=True)
class Copy:
    """The files at one moment, how many bytes of the log were there, and what had been said until then."""

    database: bytes
    log: bytes
    said: dict[int, str | None] = field(default_factory=dict)

    def safe(self, earlier: Copy) -> int:
        """From which cut on this copy must hold what was said before the `earlier` one."""
        return len(earlier.log) if self.log[SALT] == earlier.log[SALT] and len(self.log) >= len(earlier.log) else 0


@pytest.mark.timeout(1800)
def test_a_torn_store_holds_what_was_said(sandbox: Sandbox, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    totals = {"copies": 0, "tears": 0, "wrong": 0}
    wrong: list[str] = []
    said: dict[int, str | None] = {}
    with client_of(sandbox) as client:
        earlier = _copy(sandbox, _busy(client, sandbox, said, dice))
        while totals["copies"] < COPIES and not wrong:
            later = _copy(sandbox, _busy(client, sandbox, said, dice))
            for log in _torn(dice, later, later.safe(earlier)):
                wrong += _faults(tmp_path / "torn", later.database, log, earlier.said)
                totals["tears"] += 1
            for log in _torn(dice, later, 0):  # older than what was synced: never so after a power cut, and never half
                wrong += _faults(tmp_path / "torn", later.database, log, {})
                totals["tears"] += 1
            wrong += _faults(tmp_path / "torn", later.database, later.log, later.said)
            earlier = later
            totals["copies"] += 1
    report("torn_stores", totals.pop("tears"), len(wrong), **totals)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])


def _busy(client: Client, sandbox: Sandbox, said: dict[int, str | None], dice: random.Random) -> dict[int, str | None]:
    """Submits some jobs and looks at all; what the client knows now: each job's outcome, None while it has none."""
    jobs = [job("sleep 0.05", sandbox.root / "ledger", code=dice.randrange(3)) for _ in range(dice.randint(1, 4))]
    numbers = [view["number"] for view in client.submit(jobs)]
    wait_until(lambda: dice.random() < 0.3 or client.job(numbers[0])["outcome"])
    said.update({view["number"]: view["outcome"] for view in client.jobs(all=True)})
    return dict(said)


def _copy(sandbox: Sandbox, said: dict[int, str | None]) -> Copy:
    controller = next(p.pid for p in sandbox.processes() if "afield.server" in command_line(p))
    os.kill(controller, signal.SIGSTOP)
    try:
        wait_until(lambda: " T " in Path(f"/proc/{controller}/stat").read_text())
        database, log = (next(sandbox.state.glob(f"**/{name}")) for name in ("store.db", "store.db-wal"))
        return Copy(database.read_bytes(), log.read_bytes(), said)
    finally:
        os.kill(controller, signal.SIGCONT)


def _torn(dice: random.Random, copy: Copy, begin: int) -> Iterator[bytes]:
    """The log cut at random places from `begin` on, and with rubbish or nothing where a write was under way."""
    for _ in range(TEARS):
        at = dice.randint(begin, len(copy.log))
        yield copy.log[:at]
        size = dice.choice([1, 512, 4096, 20_000])
        rubbish = dice.choice([bytes(size), dice.randbytes(size)])
        yield copy.log[:at] + rubbish[: max(1, len(copy.log) - at)] + copy.log[at + size :]


def _faults(folder: Path, database: bytes, log: bytes, said: dict[int, str | None]) -> Iterator[str]:
    """Opens a store of these files; what it lacks of what was said, and what in it is half."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "store.db").write_bytes(database)
    (folder / "store.db-wal").write_bytes(log)
    store = SqliteStore.open(folder)
    try:
        world = store.load()
        world.check()
        records = store.records(0, limit=1_000_000)
        if [record.seq for record in records] != list(range(1, len(records) + 1)):
            yield "its log has holes"
        if world != _folded(records):
            yield "its rows are not what its log says"
        held: dict[int, str | None] = {job.number: job.decided for job in store.jobs()}
        for number, outcome in said.items():
            if number not in held or (outcome is not None and held[number] != outcome):
                yield f"job {number} was said to be {outcome or 'accepted'} and is {held.get(number, 'missing')}"
    finally:
        store.close()


def _folded(records: list[Record]) -> World:
    world = World()
    for record in records:
        fold(world, record)
    world.jobs = {n: j for n, j in world.jobs.items() if unfinished(j)}
    return world
