"""The promise names tests that exist, the tables are as their data says, and totals are added rightly."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from afield.build import VERSION
from tools import trust

ROOT = Path(__file__).parents[3]
TOLD = trust.Trust().told


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the docs with no totals."""
    for name in ("promise.md", "trust.md", "trust.toml"):
        shutil.copy(trust.DOCS / name, tmp_path / name)
    (tmp_path / "trust.json").write_text("{}\n")
    return tmp_path


def defined(path: Path) -> set[str]:
    """The names that a file of tests defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("clause", TOLD["clause"], ids=lambda clause: clause["name"])
def test_every_clause_of_the_promise_has_tests_that_exist(clause: dict[str, Any]) -> None:
    assert clause["tests"]
    assert set(clause["campaigns"]) <= set(TOLD["campaign"])
    for test in clause["tests"]:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), test
        assert name.lower().startswith("test"), test
        assert name in defined(ROOT / path), test


def test_the_clauses_that_we_promise_are_all_there() -> None:
    names = {clause["name"] for clause in TOLD["clause"]}
    assert names >= {
        "accepted",
        "an end with a reason",
        "at most once",
        "never two at a time",
        "unreachable is not failed",
        "every byte or a marked gap",
        "our restart sends no signal",
        "stopped means gone",
    }


def test_every_file_with_tests_that_may_be_skipped_is_named() -> None:
    words = ("pytest.skip(", "mark.skipif(", "importorskip(")
    mine = Path(__file__).resolve()
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.resolve() != mine]
    skipping = {str(path.relative_to(ROOT)) for path in files if any(word in path.read_text() for word in words)}
    assert {skip["file"] for skip in TOLD["skipped"]} == skipping


def test_the_tables_are_as_their_data_says() -> None:
    for page, text in trust.Trust().made():
        assert page.read_text() == text, f"{page.name} is stale; run `make trust`"


def total(**more: Any) -> dict[str, Any]:
    told = {"what": "random_kills", "count": 20000, "violations": 0, "seed": 7, "detail": {"by": {"link": 3}}}
    return told | more


def tables(docs: Path, *totals: Any) -> dict[str, str]:
    """The pages after these totals were added, each from a file of its own."""
    for number, told in enumerate(totals):
        file = docs / f"{number}.json"
        file.write_text(json.dumps(told))
        kept = trust.Trust(docs)
        kept.add(file)
        kept.save()
    return {page.name: text for page, text in trust.Trust(docs).made()}


def test_totals_are_added_by_what_was_run(docs: Path) -> None:
    old = total(seed=8, count=5, version="0.0.9", date="2020-01-02")
    pages = tables(docs, [old, total(what="link_cuts", count=40)], total())
    text = pages["trust.md"]
    assert "| SIGKILL at a random moment, of a random process of ours | 20,005 | 0 | 2 |" in text
    assert "| by link 6 |" in text
    assert "| at most once | 6 | 20,005 random kills, 40 link cuts | 0 |" in text
    kept = json.loads((docs / "trust.json").read_text())["random_kills"]
    assert [(run["version"], run["seed"]) for run in kept] == [("0.0.9", 8), (VERSION, 7)]
    assert kept[0]["date"] == "2020-01-02"


@pytest.mark.parametrize("found", [(0, 2), (2, 0)])
def test_the_same_seed_counts_once_and_violations_are_shown_and_stay(docs: Path, found: tuple[int, int]) -> None:
    text = tables(docs, *(total(violations=number) for number in found))["trust.md"]
    assert "| 20,000 | 2 | 1 |" in text
    assert "| never two at a time | 5 | 20,000 random kills | 2 |" in text


def test_what_is_the_same_in_each_run_is_not_added(docs: Path) -> None:
    runs = [total(what="label_kills", seed=seed, detail={"labels": 100 + seed, "least": 5}) for seed in (2, 1)]
    assert "| labels 102, least 10 |" in tables(docs, *runs)["trust.md"]


def test_planted_bugs_are_those_of_the_last_run(docs: Path) -> None:
    first = total(what="planted_bugs", count=2, detail={"no seal": None, "no sync": 3})
    last = total(what="planted_bugs", count=2, seed=9, detail={"no seal": 120, "late ack": None})
    text = tables(docs, first, last)["trust.md"]
    assert "| no seal | schedule 120 |" in text
    assert "| late ack | **not found** |" in text
    assert "no sync" not in text


@pytest.mark.parametrize(
    "wrong",
    [{"count": "many"}, {"what": None}, {"violations": None}, {"seed": 1.5}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_totals_that_say_too_little_are_refused(docs: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=next(iter(wrong))):
        tables(docs, total(**wrong))
    assert (docs / "trust.json").read_text() == "{}\n"
