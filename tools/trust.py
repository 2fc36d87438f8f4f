"""Keeps docs/trust.json and makes the tables of docs/promise.md and docs/trust.md.

    python tools/trust.py              makes the tables
    python tools/trust.py --check      only compares
    python tools/trust.py add FILE...  adds the totals of campaigns, then makes the tables

A file of totals holds an object or a list of objects
{"what": "random_kills", "count": 20000, "violations": 0, "seed": 7, "detail": {"controller": 9000, ...}}.
The numbers in `detail` are added too, or the largest counts; of planted bugs it says for each how many
schedules, or which test, found it (null: not found).
The same seed in the same version replaces what it gave before: it proves nothing twice. The violations that it found
stay.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from afield.build import VERSION

DOCS = Path(__file__).parent.parent / "docs"
PLANTED = "planted_bugs"
SAME = {"labels"}
"""Details that are the same things in each run: the largest number counts."""

Run = dict[str, Any]


class Trust:
    """What is promised and what was run, in a folder of docs."""

    def __init__(self, docs: Path = DOCS) -> None:
        self._json = docs / "trust.json"
        self.pages = (docs / "promise.md", docs / "trust.md")
        self.told: dict[str, Any] = tomllib.loads((docs / "trust.toml").read_text())
        self.runs: dict[str, list[Run]] = json.loads(self._json.read_text())

    def add(self, file: Path) -> None:
        """Add the totals in a file. Raises SystemExit with what is wrong in it."""
        found = json.loads(file.read_text())
        for total in found if isinstance(found, list) else [found]:
            run = _run(total, file)
            runs = self.runs.setdefault(total["what"], [])
            same = [r for r in runs if (r["version"], r["seed"]) == (run["version"], run["seed"])]
            run["violations"] = max(r["violations"] for r in [run, *same])
            runs[:] = [r for r in runs if r not in same]
            runs.append(run)

    def save(self) -> None:
        """Write trust.json."""
        self._json.write_text(json.dumps(self.runs, indent=1, sort_keys=True) + "\n")
        self.runs = json.loads(self._json.read_text())  # in the order that the tables are compared in

    def made(self) -> Iterator[tuple[Path, str]]:
        """Each page as it should be."""
        tables = {
            "clauses": self._clauses(),
            "evidence": self._evidence(),
            "volumes": self._volumes(),
            "planted": self._planted(),
            "skipped": _table(("tests", "need"), [(f"`{s['file']}`", s["lacks"]) for s in self.told["skipped"]]),
        }
        for page in self.pages:
            text = page.read_text()
            for name, table in tables.items():
                begin, end = f"<!-- made: {name} -->\n", "<!-- end -->"
                if begin in text:
                    before, _, rest = text.partition(begin)
                    text = before + begin + table + end + rest.partition(end)[2]
            yield page, text

    def _clauses(self) -> str:
        rows = [(c["name"], c["means"], _ids(c["tests"])) for c in self.told["clause"]]
        return _table(("clause", "what it means", "tests"), rows)

    def _evidence(self) -> str:
        rows = []
        for clause in self.told["clause"]:
            ran = [w for w in clause["campaigns"] if self.runs.get(w)]
            volumes = ", ".join(f"{_sum(self.runs[w], 'count'):,} {w.replace('_', ' ')}" for w in ran)
            broken = sum(_sum(self.runs[w], "violations") for w in ran)
            seen = (volumes, f"{broken:,}") if ran else ("none recorded", "")
            rows.append((clause["name"], str(len(clause["tests"])), *seen))
        return _table(("clause", "tests", "campaigns that would break it", "violations there"), rows)

    def _volumes(self) -> str:
        rows = []
        for what, runs in sorted(self.runs.items()):
            if what != PLANTED:
                name = self.told["campaign"].get(what, what.replace("_", " "))
                last = runs[-1]
                numbers = f"{_sum(runs, 'count'):,}", f"{_sum(runs, 'violations'):,}", str(len(runs))
                rows.append((name, *numbers, f"{last['date']}, {last['version']}", _details(runs)))
        return _table(("what", "count", "violations", "runs", "last", "of which"), rows)

    def _planted(self) -> str:
        runs = self.runs.get(PLANTED, [])
        bugs: dict[str, int | str | None] = runs[-1]["detail"] if runs else {}
        rows = [(bug, _place(at)) for bug, at in sorted(bugs.items())]
        return _table(("planted bug", "found at"), rows)


def _run(total: dict[str, Any], file: Path) -> Run:
    for name, kind in (("what", str), ("count", int), ("violations", int), ("seed", int)):
        if not isinstance(total.get(name), kind):
            raise SystemExit(f"{file}: {name} must be {kind.__name__}, not {total.get(name)!r}")
    return {
        "count": total["count"],
        "violations": total["violations"],
        "seed": total["seed"],
        "detail": total.get("detail", {}),
        "date": total.get("date") or datetime.now(UTC).date().isoformat(),
        "version": total.get("version") or VERSION,
    }


def _place(at: int | str | None) -> str:
    """Where a planted bug was found."""
    return "**not found**" if at is None else f"schedule {at:,}" if isinstance(at, int) else f"`{at}`"


def _sum(runs: list[Run], name: str) -> int:
    return sum(run[name] for run in runs)


def _details(runs: list[Run]) -> str:
    """The numbers in the details, added by name unless they are the SAME."""
    sums: dict[str, int] = {}
    for run in runs:
        for name, number in _numbers(run["detail"]):
            before = sums.get(name, 0)
            sums[name] = max(before, number) if name in SAME else before + number
    return ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in sums.items())


def _numbers(detail: dict[str, Any], above: str = "") -> Iterator[tuple[str, int]]:
    for name, value in detail.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{above}{name} ")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield above + name, value


def _ids(tests: list[str]) -> str:
    return "<br>".join(f"`{test}`" for test in tests)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return "None recorded.\n"
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |\n" for line in lines)


def main(arguments: list[str]) -> int:
    """Gives 1 when `--check` finds a page that is stale."""
    trust = Trust()
    if arguments[:1] == ["add"]:
        for name in arguments[1:]:
            trust.add(Path(name))
        trust.save()
    elif arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = [(page, text) for page, text in trust.made() if page.read_text() != text]
    for page, text in stale:
        if arguments == ["--check"]:
            print(f"{page} is stale", file=sys.stderr)
        else:
            page.write_text(text)
    return int(bool(stale) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
