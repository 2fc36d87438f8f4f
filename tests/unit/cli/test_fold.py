"""Lines of several processes as one text: nothing is lost, doubled or moved within a process."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.cli.fold import HELD, Fold, matches, spans
from afield.cli.streams import chosen
from afield.errors import UsageError


def mark(ranks: Collection[int]) -> bytes:
    return f"[{','.join(map(str, ranks))}] ".encode()


def of_each(text: bytes) -> dict[int, list[bytes]]:
    """What each process wrote, told from what was shown."""
    found: dict[int, list[bytes]] = {}
    for line in text.splitlines(keepends=True):
        who, _, said = line.partition(b"] ")
        for rank in who[1:].split(b","):
            found.setdefault(int(rank), []).append(said)
    return found


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n"]), max_size=6)
WRITTEN = st.lists(st.tuples(st.integers(0, 3), LINES, st.floats(0, 1)), max_size=12)


@given(WRITTEN, st.none() | st.floats(0, 1))
def test_each_process_s_own_output_can_be_told_from_what_is_shown(
    written: list[tuple[int, list[bytes], float]], patience: float | None
) -> None:
    fold = Fold(mark, 4, patience)
    shown, now = b"", 0.0
    told: dict[int, list[bytes]] = {}
    for rank, lines, later in written:
        now += later
        fold.add(rank, lines, now)
        told.setdefault(rank, []).extend(lines)
        shown += fold.ready(now)
    shown += fold.rest()
    assert of_each(shown) == {rank: lines for rank, lines in told.items() if lines}


def test_equal_lines_are_one_also_behind_others() -> None:
    fold = Fold(mark, 3, None)
    fold.add(0, [b"start\n", b"loss 0.1\n", b"epoch\n"], 0)
    fold.add(1, [b"start\n", b"loss 0.2\n", b"epoch\n"], 1)
    fold.add(2, [b"start\n", b"loss 0.3\n", b"epoch\n"], 2)
    assert fold.rest().splitlines() == [
        b"[0,1,2] start", b"[0] loss 0.1", b"[1] loss 0.2", b"[2] loss 0.3", b"[0,1,2] epoch",
    ]  # fmt: skip


def test_a_line_waits_for_its_like_only_so_long_and_not_when_all_have_it() -> None:
    fold = Fold(mark, 2, 0.3)
    fold.add(0, [b"x\n"], 10.0)
    assert fold.ready(10.2) == b""
    assert fold.ready(10.3) == b"[0] x\n"
    fold.add(0, [b"y\n"], 11.0)
    fold.add(1, [b"y\n"], 11.1)
    assert fold.ready(11.1) == b"[0,1] y\n"


def test_what_waits_is_bounded() -> None:
    fold = Fold(mark, 2, None)
    fold.add(0, [b"%d " % n + b"x" * (HELD // 4) + b"\n" for n in range(6)], 0.0)
    assert [line.split(b" ")[1] for line in fold.ready(0.0).splitlines()] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([0, 1, 2, 3], "w0-3"), ([2], "w2"), ([3, 0, 1], "w0-1,w3"), ([], ""), ([0, 2, 4], "w0,w2,w4")],
)
def test_numbers_as_people_write_them(numbers: list[int], text: str) -> None:
    assert spans(numbers, "w") == text


def test_a_pattern_is_looked_for_in_what_a_person_sees() -> None:
    assert matches(re.compile(b"^loss$"), b"\x1b[31mlo\x1b[0mss\n")
    assert not matches(re.compile(b"gain"), b"loss\n")


def test_the_words_of_stream() -> None:
    assert chosen("all", None, None).ranks is None
    assert chosen("0,3", None, None).ranks == frozenset((0, 3))
    assert (chosen("1,err", None, None).only, chosen("out,err", None, None).only) == ("err", "")
    for stream, grep in (("w0", None), ("-1", None), ("all", "(")):
        with pytest.raises(UsageError):
            chosen(stream, grep, None)
    with pytest.raises(UsageError, match="no worker 2"):
        chosen("0,2", None, None).check(2)
