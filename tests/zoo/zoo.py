"""Plants every bug and looks whether it is found. `python -m tests.zoo.zoo --write FILE` is for tools/trust.py."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.zoo.bug import ROOT, SOURCE, Bug, plant
from tests.zoo.bugs import BUGS

AT_ONCE = 2
LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Found:
    """After how many schedules, or by which test, a bug was found (None: it was not), and what was said."""

    at: int | str | None
    said: str


def search(bug: Bug) -> Found:
    """Looks for one bug, planted in a copy of the source, in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="afield-zoo-") as folder:
        source = plant(bug, Path(folder))
        return simulated(bug.by, source) if bug.simulated else trial(bug.by, source)


def simulated(focus: str, source: Path = SOURCE) -> Found:
    """What the simulator finds in some source."""
    done = _python(source, "-m", "tests.zoo.hunt", "--focus", focus)
    if done.returncode:
        return Found(None, f"the hunt broke: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    return Found(told["found"], "; ".join(told["wrong"]))


def trial(tests: str, source: Path) -> Found:
    """Whether tests fail with some source: tests that break for another reason than a failed check do not count."""
    done = _python(source, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *shlex.split(tests))
    said = next((line for line in done.stdout.splitlines() if line.startswith("FAILED")), done.stdout[-2000:])
    return Found(tests.rpartition("/")[2] if done.returncode == 1 and "FAILED" in said else None, said)


def _python(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )


def totals(bugs: Sequence[Bug]) -> dict[str, object]:
    """What docs/trust.json keeps."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip([b.name for b in bugs], pool.map(search, bugs), strict=True))
    count = sum(f.at is not None for f in found.values())
    detail = {name: f.at for name, f in found.items()}
    return {"what": "planted_bugs", "count": count, "violations": len(bugs) - count, "seed": 0, "detail": detail}


def main() -> int:
    """The command; its status is 1 when a bug was not found."""
    parser = argparse.ArgumentParser(prog="tests.zoo.zoo", description=__doc__)
    parser.add_argument("--write", type=Path, help="totals as JSON into a file")
    chosen = parser.parse_args()
    told = totals(BUGS)
    text = json.dumps(told, indent=1)
    if chosen.write is not None:
        chosen.write.write_text(text + "\n")
    print(text)
    return bool(told["violations"])


if __name__ == "__main__":
    sys.exit(main())
