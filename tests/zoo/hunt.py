"""Runs schedules until the first one goes wrong. `python -m tests.zoo.hunt --focus swarm --seeds 0:200` gives JSON.

It is run in a fresh process whose PYTHONPATH begins with a changed copy of the source.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.sim.run import COLLECT, SCRATCH, quiet
from tests.sim.world import World
from tests.zoo.focus import FOCUSES


def hunt(focus: str, first: int, last: int) -> tuple[int | None, list[str]]:
    """(how many schedules it took, what went wrong there); None when nothing did."""
    with quiet():
        for place, seed in enumerate(range(first, last), 1):
            if place % COLLECT == 0:
                gc.collect()
            if wrong := schedule(focus, seed):
                return place, wrong
    return None, []


def schedule(focus: str, seed: int) -> list[str]:
    """What goes wrong in one schedule."""
    scratch = Path(tempfile.mkdtemp(prefix="afield-zoo-", dir=SCRATCH if Path(SCRATCH).is_dir() else None))
    try:
        world = World(seed, scratch, None, FOCUSES[focus].faults)
        world.patience_s = FOCUSES[focus].patience_s
        FOCUSES[focus].shape(world)
        return [*world.run(), *FOCUSES[focus].look(world)]
    except Exception as trouble:  # noqa: BLE001 a simulation that breaks has seen something wrong
        return [f"it broke: {trouble!r}"]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.zoo.hunt", description=__doc__)
    parser.add_argument("--focus", default="swarm", choices=sorted(FOCUSES))
    parser.add_argument("--seeds", help="A:B; all that the focus wants when it is not said")
    chosen = parser.parse_args()
    first, _, last = (chosen.seeds or f"0:{FOCUSES[chosen.focus].most}").partition(":")
    found, wrong = hunt(chosen.focus, int(first), int(last))
    sys.stdout.write(json.dumps({"found": found, "wrong": wrong[:3]}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # coroutines of killed controllers complain when Python lets go of them


if __name__ == "__main__":
    main()
