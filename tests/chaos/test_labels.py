"""SIGKILL at every label, before and after its act, and at pairs of labels on both sides; every label is known."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.arena import Tools
from tests.chaos.census import Census
from tests.chaos.kit import SEED, report
from tests.chaos.labels import labels, unlabelled
from tests.chaos.siege import ELSEWHERE, Siege, besieged
from tests.chaos.zygote import Zygote

EACH = int(os.environ.get("AFIELD_EACH", "3"))
"""How often at each label before its act, and as often after it."""
PAIRS = int(os.environ.get("AFIELD_PAIRS", "10"))
"""How many pairs; 0 is all of them."""
SIEGES = 3
AT_ONCE = 4
"""Labels that are armed together: whoever comes first falls first, and the next one starts in what that left behind."""


@pytest.fixture
def sieges(tmp_path: Path) -> Iterator[list[Siege]]:
    zygote = Zygote()
    tools = Tools(zygote, Census())
    made = [Siege(tools, random.Random(f"{SEED} {number}"), tmp_path / str(number)) for number in range(SIEGES)]
    yield made
    for siege in made:
        siege.arena.close()
    zygote.close()


def _fight(what: str, sieges: list[Siege], plan: list[Sequence[str]], every: Sequence[str]) -> None:
    random.Random(SEED).shuffle(plan)
    with ThreadPoolExecutor(len(sieges)) as pool:
        wrong = list(pool.map(lambda pair: pair[1].run(plan[pair[0] :: SIEGES]), enumerate(sieges)))
    fallen = sum((siege.fallen for siege in sieges), start=sieges[0].fallen.__class__())
    report(what, fallen.total(), sum(map(len, wrong)), labels=len(fallen), least=min(fallen[label] for label in every))
    stories = [siege.arena.story() for siege, found in zip(sieges, wrong, strict=True) if found]
    assert not any(wrong), "\n".join([f"seed {SEED}", *itertools.chain(*wrong), *stories])
    assert not [label for siege in sieges for label in siege.missed], f"seed {SEED}: nobody came to these labels"


@pytest.mark.timeout(1800)
def test_a_kill_at_every_label_breaks_no_promise(sieges: list[Siege]) -> None:
    dice, every = random.Random(SEED), besieged()
    plan: list[Sequence[str]] = []
    for _ in range(EACH):
        order = dice.sample(every, len(every))
        plan += [order[at : at + AT_ONCE] for at in range(0, len(order), AT_ONCE)]
    _fight("label_kills", sieges, plan, every)


@pytest.mark.timeout(36000)
def test_a_kill_on_both_sides_breaks_no_promise(sieges: list[Siege]) -> None:
    every = besieged()
    ours = [label for label in every if label.startswith("controller.")]
    theirs = [label for label in every if label.startswith("shepherd.")]
    pairs: list[Sequence[str]] = list(itertools.product(ours, theirs))
    _fight("pair_kills", sieges, random.Random(SEED).sample(pairs, PAIRS or len(pairs)), [*ours, *theirs])


def test_whatever_others_can_see_has_a_label() -> None:
    assert unlabelled() == []


def test_every_label_is_killed_at_or_has_a_reason() -> None:
    assert set(ELSEWHERE) <= labels(), "these are no labels any more"
    assert len(labels()) >= 60, "the labels are not found in the source any more"
