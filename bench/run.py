"""`make bench`: all figures, a table, and JSON. Names of parts as arguments run only these."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.measure import Figure

PARTS = ("command", "code", "nodes", "machine", "data", "python", "output", "jobs")
RESULTS = Path("build/bench.json")


def main(words: list[str]) -> int:
    """Measure, print, write; the exit status is 0 whatever the figures are."""
    found: list[Figure] = []
    for part in words or PARTS:
        for figure in import_module(f"bench.{part}").figures():
            found.append(figure)
            print(_row(figure), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"at": datetime.now(UTC).isoformat(), "figures": [{**asdict(f), "met": f.met} for f in found]}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    print(f"{sum(f.met for f in found)} of {len(found)} goals met; {RESULTS}")
    return 0


def _row(figure: Figure) -> str:
    sign = "≤" if figure.better == "less" else "≥"
    notes = ", ".join(f"{k} {v}" for k, v in figure.notes.items())
    mark = "✓" if figure.met else "✗"
    return f"{mark} {figure.name:<62} {figure.value:8.2f} {figure.unit:<6} goal {sign} {figure.goal:g}   {notes}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
