"""Who is picked for a signal, and who never is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from afield.runner.killtree import Row, children, members, named

ME = 10
MARK = "st.1.1.n.abc"


def _row(pid: int, parent: int, session: int = 0, *, state: str = "S", mark: str = "") -> Row:
    return Row((pid, pid * 100), parent, session or pid, state, (mark, f"word{pid}"))


# init, our keeper, the shepherd, and its program as leader of a session.
BASE = [_row(1, 0), _row(5, 1), _row(ME, 5), _row(20, ME, 20, mark=MARK)]
ROOTS = {(20, 2000)}


def _picked(extra: Iterable[Row], roots: set[tuple[int, int]] = ROOTS, mark: str = MARK) -> list[int]:
    return [row.pid for row in members([*BASE, *extra], ME, roots, mark)]


@pytest.mark.parametrize(
    ("extra", "picked"),
    [
        ([], [20]),
        ([_row(21, 20, 20), _row(22, 21, 22)], [20, 21, 22]),
        ([_row(30, 1, 20)], [20, 30]),
        ([_row(31, 1, 31, mark=MARK), _row(32, 31)], [20, 31, 32]),
        ([_row(33, 1, mark="st.1.2.n.abc"), _row(34, 1)], [20]),
        ([_row(35, 20, state="Z")], [20]),
    ],
)
def test_descent_session_and_mark(extra: list[Row], picked: list[int]) -> None:
    assert _picked(extra) == picked


def test_a_reused_pid_is_a_stranger_with_all_its_session() -> None:
    stranger = [Row((20, 9999), 1, 20, "S"), _row(21, 20, 20)]
    assert members([*BASE[:3], *stranger], ME, ROOTS, MARK) == []


def test_a_session_without_its_leader_proves_nothing() -> None:
    assert members([*BASE[:3], _row(30, 1, 20)], ME, ROOTS, MARK) == []


def test_a_zombie_leader_still_names_its_session() -> None:
    table = [*BASE[:3], _row(20, ME, 20, state="Z"), _row(30, 1, 20)]
    assert [row.pid for row in members(table, ME, ROOTS, MARK)] == [30]


def test_never_self_nor_an_ancestor() -> None:
    table = [_row(1, 0, mark=MARK), _row(5, 1, mark=MARK), _row(ME, 5, mark=MARK), _row(20, ME, mark=MARK)]
    assert [row.pid for row in members(table, ME, {(5, 500), (ME, 1000)}, MARK)] == [20]


def test_without_a_mark_nothing_is_picked_by_mark() -> None:
    assert _picked([_row(40, 1)], mark="") == [20]


def test_children_and_names() -> None:
    assert [row.pid for row in children(BASE, 5)] == [ME]
    assert named(BASE[3]) == "word20 (pid 20)"
