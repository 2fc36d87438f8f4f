"""Runs seeds: a batch with totals, or one seed as a story. `python -m tests.sim.run --help`."""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.sim.story import Story
from tests.sim.world import World

SHARD = 250
COLLECT = 250
"""Seeds between two collections of garbage."""
SCRATCH = "/dev/shm"


@dataclass(slots=True)
class Totals:
    """What a batch came to. `violations` maps seeds to what went wrong; `mismatches` are seeds that ran differently."""

    schedules: int = 0
    events: int = 0
    virtual_s: float = 0.0
    jobs: int = 0
    attempts: int = 0
    programs: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    violations: dict[int, list[str]] = field(default_factory=dict)
    mismatches: list[int] = field(default_factory=list)
    seconds: float = 0.0
    trace: str = ""
    """A hash over all seeds: when and what, to the last effect."""

    def add(self, other: Totals) -> None:
        """Takes another batch in."""
        for name in ("schedules", "events", "virtual_s", "jobs", "attempts", "programs", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in ((self.faults, other.faults), (self.outcomes, other.outcomes)):
            for kind, count in theirs.items():
                mine[kind] = mine.get(kind, 0) + count
        self.violations.update(other.violations)
        self.mismatches += other.mismatches
        self.trace = hashlib.sha256((self.trace + other.trace).encode()).hexdigest()[:16]


def one(seed: int, story: Story | None = None, only: Mapping[str, Any] | None = None) -> tuple[World, list[str]]:
    """Runs one seed; its world, and what went wrong. `only` are faults in place of the drawn ones."""
    scratch = Path(tempfile.mkdtemp(prefix="afield-sim-", dir=SCRATCH if Path(SCRATCH).is_dir() else None))
    try:
        with quiet():
            if seed % COLLECT == 0:
                gc.collect()
            world = World(seed, scratch, story, only)
            return world, world.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Coroutines of a killed controller complain when Python lets go of them: that they never ended is the point.

    When the collector runs is nothing that a seed decides, so it runs between seeds only.
    """
    before = logging.root.manager.disable, sys.unraisablehook
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        gc.enable()
        logging.disable(before[0])
        sys.unraisablehook = before[1]


def _be_quiet() -> None:
    """For a process that does nothing else; what is loaded by now is no garbage to look for."""
    gc.freeze()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", RuntimeWarning)
    sys.unraisablehook = lambda _: None


def batch(seeds: Iterable[int], twice: int = 0) -> Totals:
    """Runs seeds; of the first `twice` each a second time, whose trace must be the same."""
    totals = Totals()
    for place, seed in enumerate(seeds):
        began = time.process_time()
        try:
            world, wrong = one(seed)
            if place < twice and one(seed)[0].scheduler.trace != world.scheduler.trace:
                totals.mismatches.append(seed)
        except Exception as trouble:  # noqa: BLE001 the other seeds of a batch are run all the same
            totals.add(Totals(schedules=1, violations={seed: [f"it broke: {trouble!r}"]}))
            continue
        jobs = world.host.store.jobs(limit=10**6)
        attempts = [a for j in jobs for a in j.attempts]
        outcomes: dict[str, int] = {}
        for attempt in attempts:
            outcomes[str(attempt.outcome)] = outcomes.get(str(attempt.outcome), 0) + 1
        counts = dict(world.counts)
        if refused := sum(m.disk.refused for m in world.machines.values()):
            counts["write refused"] = refused
        totals.add(
            Totals(
                schedules=1,
                events=world.scheduler.events,
                virtual_s=world.scheduler.now - 1000.0,
                jobs=len(jobs),
                attempts=len(attempts),
                programs=sum(r.kind == "program" for r in world.runs),
                faults=counts,
                outcomes=outcomes,
                violations={seed: wrong} if wrong else {},
                seconds=time.process_time() - began,
                trace=f"{world.scheduler.trace:016x}",
            )
        )
    return totals


def _shard(seeds: tuple[int, int, int]) -> Totals:
    return batch(range(seeds[0], seeds[1]), seeds[2])


def many(first: int, last: int, processes: int, twice: int) -> Totals:
    """Runs `first` to `last` - 1 over processes."""
    shards = [(a, min(last, a + SHARD), max(0, min(SHARD, twice - (a - first)))) for a in range(first, last, SHARD)]
    totals = Totals()
    if processes < 2 or len(shards) < 2:
        for shard in shards:
            totals.add(_shard(shard))
        return totals
    with ProcessPoolExecutor(processes, initializer=_be_quiet) as pool:
        for found in pool.map(_shard, shards):
            totals.add(found)
    return totals


def tell(totals: Totals, wall: float) -> str:
    """The totals for people."""
    lines = [
        f"{totals.schedules} schedules in {wall:.1f} s: {totals.schedules / max(wall, 1e-9):.0f}/s, "
        f"{totals.schedules / max(totals.seconds, 1e-9):.0f}/s a core; {totals.events} events, "
        f"{totals.virtual_s / 3600:.1f} h of virtual time",
        f"{totals.jobs} jobs, {totals.attempts} attempts, {totals.programs} programs; outcomes {totals.outcomes}",
        "faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(totals.faults.items())),
        f"violations: {len(totals.violations)}, seeds that ran differently: {len(totals.mismatches)}, "
        f"trace {totals.trace}",
    ]
    for seed, wrong in sorted(totals.violations.items())[:20]:
        lines += [f"  seed {seed}: {said}" for said in wrong[:3]]
    lines += [f"  seed {seed} ran differently the second time" for seed in totals.mismatches[:20]]
    return "\n".join(lines)


def counted(totals: Totals, first: int) -> dict[str, Any]:
    """The totals as tools/trust.py adds them; the first seed stands for all."""
    detail = {"jobs": totals.jobs, "attempts": totals.attempts, "programs": totals.programs, **totals.faults}
    wrong = len(totals.violations) + len(totals.mismatches)
    what = "simulated_schedules"
    return {"what": what, "count": totals.schedules, "violations": wrong, "seed": first, "detail": detail}


def main() -> int:
    """The command; its status is 1 when something went wrong."""
    parser = argparse.ArgumentParser(prog="tests.sim.run", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell the story of one seed")
    parser.add_argument("--all", action="store_true", help="with every effect")
    parser.add_argument("--seeds", default="0:200", help="A:B, the seeds of a batch")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--twice", type=int, default=20, help="so many seeds are run again and compared")
    parser.add_argument("--json", action="store_true", help="totals as JSON on standard output")
    parser.add_argument("--write", type=Path, help="totals into a file, for tools/trust.py")
    chosen = parser.parse_args()
    _be_quiet()
    if chosen.seed is not None:
        world, wrong = one(chosen.seed, Story(chosen.all))
        print("\n".join(wrong) or f"nothing wrong; trace {world.scheduler.trace:016x}")
        return bool(wrong)
    first, _, last = chosen.seeds.partition(":")
    began = time.perf_counter()
    totals = many(int(first), int(last), min(2, chosen.processes), chosen.twice)
    if chosen.write is not None:
        chosen.write.write_text(json.dumps(counted(totals, int(first)), indent=1) + "\n")
    print(json.dumps(asdict(totals), sort_keys=True) if chosen.json else tell(totals, time.perf_counter() - began))
    return bool(totals.violations or totals.mismatches)


if __name__ == "__main__":
    sys.exit(main())
