"""An unmarked child is ended with the last attempt that it may belong to, never with another."""

from __future__ import annotations

from afield.runner.killtree import Row
from afield.runner.strays import Strays

ONE, TWO = Row((7, 70), 1, 7, "S"), Row((8, 80), 1, 8, "S")


def test_one_possible_owner() -> None:
    strays = Strays()
    strays.note([ONE], {"1.1"})
    assert strays.of("1.1", {"1.1", "2.1"}) == {(7, 70)}
    assert strays.of("2.1", {"1.1", "2.1"}) == set()


def test_of_several_possible_owners_the_last_takes_it() -> None:
    strays = Strays()
    strays.note([ONE], {"1.1", "2.1"})
    assert strays.of("1.1", {"1.1", "2.1"}) == set()
    assert strays.of("2.1", {"2.1", "3.1"}) == {(7, 70)}


def test_the_first_finding_counts_while_it_lives() -> None:
    strays = Strays()
    strays.note([ONE], {"1.1"})
    strays.note([ONE, TWO], {"2.1"})
    assert strays.of("2.1", {"1.1", "2.1"}) == {(8, 80)}
    strays.keep({(8, 80)})
    assert strays.of("1.1", {"1.1", "2.1"}) == set()
