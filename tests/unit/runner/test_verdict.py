"""The verdict over every combination of evidence, against the specification's table written the other way round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.runner import verdict

BOOT = "b1"
EXITS = {
    "none": None,
    "code": {"code": 0, "signal": None, "by": "shepherd"},
    "signal": {"code": None, "signal": 9, "by": "keeper"},
    "gate": {"code": None, "signal": None, "by": "gate"},
}
FINALS = {"none": None, "ended": {"why": None, "stage": None}, "stage": {"why": None, "stage": "setup"}}


def _process(started: str, leave: str, alive: bool) -> dict[str, Any]:
    begun = None if started == "no" else {"boot": BOOT if started == "yes" else "b0", "pid": 1, "start": 2}
    return {"started": begun, "exit": EXITS[leave], "alive": alive, "out": 0, "err": 0}


PROCESSES = [
    _process(started, leave, alive)
    for started, leave, alive in itertools.product(("no", "yes", "other"), EXITS, (False, True))
    if started != "no" or (leave == "none" and not alive)
]


def _facts(**given: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "spec": True,
        "sealed": None,
        "lock": "free",
        "boot": BOOT,
        "ready": None,
        "final": None,
        "acked": False,
    }
    facts |= {"stops": 0, "stages": {}, "processes": {}}
    return facts | given


def _expected(facts: dict[str, Any]) -> str:
    """The first row of the table that fits."""
    processes = facts["processes"].values()
    exits = [p["exit"] for p in processes]
    all_ended = bool(exits) and all(e is not None and e["by"] != "gate" for e in exits)
    began = any(p["started"] and not (p["exit"] and p["exit"]["by"] == "gate") for p in processes)
    rows = [
        (facts["final"] is not None and facts["final"]["stage"] is not None, "setup_failed"),
        (facts["final"] is not None, "ended"),
        (facts["lock"] == "held" and all_ended, "ending"),
        (facts["lock"] == "held" and began, "live"),
        (facts["lock"] == "held" and facts["ready"] is not None, "ready"),
        (facts["lock"] == "held", "preparing"),
        (any(p["alive"] for p in processes), "orphan"),
        (facts["sealed"] is None and facts["lock"] == "none" and not began, "absent"),
        (facts["sealed"] is None, "needs_seal"),
        (all_ended, "ended"),
        (began, "dead"),
        (True, "never_started"),
    ]
    return next(word for fits, word in rows if fits)


def _worlds() -> Iterator[dict[str, Any]]:
    """Every combination of evidence of two processes."""
    worlds = itertools.product(
        (None, {"reason": "r", "by": "x"}),
        ("none", "free", "held"),
        (None, {"port": 1}),
        FINALS.values(),
        PROCESSES,
        PROCESSES,
    )
    for sealed, lock, ready, final, first, second in worlds:
        processes = {"0": first, "1": second}
        yield _facts(sealed=sealed, lock=lock, ready=ready, final=final, processes=processes)


def test_every_combination_has_its_word() -> None:
    seen = set()
    for facts in _worlds():
        word = verdict.verdict(facts)
        assert word == _expected(facts), facts
        seen.add(word)
    assert seen == set(verdict.WORDS)


def _later(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may still happen to a folder that nobody looks after: one deed at a time."""
    yield "acknowledged", {**facts, "acked": True}
    yield "told to stop", {**facts, "stops": facts["stops"] + 1}
    yield "rebooted", {**facts, "boot": "b2", "processes": {r: {**p, "alive": False} for r, p in _each(facts)}}
    yield "gathered", {**facts, "processes": {r: {**p, "out": 9, "err": 9} for r, p in _each(facts)}}
    if facts["sealed"] is None:
        yield "sealed", {**facts, "sealed": {"reason": "late", "by": "link"}}
    if facts["final"] is None and verdict.verdict(facts) == verdict.ENDED:
        yield "written up", {**facts, "final": FINALS["ended"]}


def _each(facts: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(facts["processes"].items())


def test_a_closed_folder_stays_closed_with_the_same_word() -> None:
    closed = 0
    for facts in _worlds():
        word = verdict.verdict(facts)
        if word not in verdict.CLOSED:
            continue
        closed += 1
        for deed, then in _later(facts):
            assert verdict.verdict(then) == word, (deed, facts)
            assert verdict.exits(then) == verdict.exits(facts), (deed, facts)
    assert closed > 1000


WORDS = st.sampled_from(["code", "signal", "by", "boot", "stage", "x"])
FILE = st.none() | st.dictionaries(WORDS, st.none() | st.integers(0, 9) | st.text(max_size=3), max_size=3)
SEAL = st.none() | st.fixed_dictionaries({"reason": st.text(max_size=3), "by": st.just("link")})
PROCESS = st.fixed_dictionaries({"started": FILE, "exit": FILE, "alive": st.booleans()})
FACTS = st.fixed_dictionaries(
    {
        "final": FILE,
        "sealed": SEAL,
        "ready": FILE,
        "lock": st.sampled_from(["none", "free", "held"]),
        "boot": st.just(BOOT),
        "stages": st.dictionaries(st.just("setup"), PROCESS, max_size=1),
        "processes": st.dictionaries(st.integers(0, 12).map(str), PROCESS, max_size=2),
    }
)


@given(FACTS)
def test_any_facts_have_one_word_a_reason_and_exits(facts: dict[str, Any]) -> None:
    """A file that was half written or comes from another build is a fact like any other."""
    assert verdict.verdict(facts) in verdict.WORDS
    assert isinstance(verdict.reason(facts), str)
    assert {e["rank"] for e in verdict.exits(facts)} <= set(map(int, facts["processes"]))


@pytest.mark.parametrize(
    ("facts", "word", "reason"),
    [
        (_facts(spec=False, lock="none"), "absent", ""),
        (
            _facts(sealed={"reason": "device gpu0 is held by bob", "by": "shepherd"}),
            "never_started",
            "device gpu0 is held by bob",
        ),
        (_facts(sealed={}, processes={"0": _process("yes", "none", False)}), "dead", "both watchers were killed"),
        (_facts(sealed={}, processes={"0": _process("other", "none", False)}), "dead", "reboot"),
        (_facts(final=FINALS["stage"]), "setup_failed", "setup failed"),
        (_facts(stages={"setup": _process("yes", "none", True)}), "orphan", ""),
        (_facts(lock="held", stages={"setup": _process("yes", "none", True)}), "preparing", ""),
        (
            _facts(sealed={"reason": "x", "by": "k"}, processes={"0": _process("yes", "gate", False)}),
            "never_started",
            "x",
        ),
    ],
)
def test_words_and_reasons(facts: dict[str, Any], word: str, reason: str) -> None:
    assert (verdict.verdict(facts), verdict.reason(facts)) == (word, reason)


def test_exits_are_by_rank_and_only_what_is_known() -> None:
    leaves = {"10": "code", "2": "signal", "3": "gate", "1": "none"}
    facts = _facts(processes={rank: _process("yes", leave, False) for rank, leave in leaves.items()})
    assert verdict.exits(facts) == [{"rank": 2, "code": None, "signal": 9}, {"rank": 10, "code": 0, "signal": None}]
