"""The table at the end of a job of several processes."""

from __future__ import annotations

from typing import Any

import pytest

from afield.cli.ends import table


def ended(rank: int, code: int | None = None, signal: int | None = None, how: str = "") -> dict[str, Any]:
    status = code if code is not None else 128 + (signal or 0)
    return {"rank": rank, "code": code, "signal": signal, "status": status, "how": how or f"exit code {code}"}


def job(exits: list[dict[str, Any]], cause: int | None, outcome: str = "failed") -> dict[str, Any]:
    processes = [{"rank": rank, "node": f"box{rank}", "worker": rank, "group": 0, "index": rank} for rank in range(4)]
    attempt = {"exits": exits, "cause": cause, "processes": processes, "outcome": outcome}
    return {"processes": 4, "nodes": [f"box{n}" for n in range(4)], "outcome": outcome, "attempts": [attempt]}


def cells(view: dict[str, Any]) -> list[list[str]]:
    lines = table(view, lambda rank: "ValueError: bad" if rank == 2 else "")
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]


ENDS = [
    (
        [ended(0, signal=15, how="killed by SIGTERM"), ended(1, 0), ended(2, 7), ended(3, 143)],
        2,
        [
            ["w2", "box2", "7", "failed first", "ValueError: bad"],
            ["w0,w3", "2 nodes", "143", "stopped because w2 failed"],
            ["w1", "box1", "0", "succeeded"],
        ],
    ),
    (
        [ended(2, 7), ended(3, 1)],
        2,
        [
            ["w2", "box2", "7", "failed first", "ValueError: bad"],
            ["w3", "box3", "1", "failed"],
            ["w0-1", "2 nodes", "-", "not begun because w2 failed"],
        ],
    ),
    (
        [
            ended(0, signal=9, how="killed by SIGKILL; afield did not send it"),
            ended(1, 0),
            ended(2, 7),
            ended(3, 0),
        ],
        2,
        [
            ["w2", "box2", "7", "failed first", "ValueError: bad"],
            ["w0", "box0", "137", "killed by SIGKILL; afield did not send it"],
            ["w1,w3", "2 nodes", "0", "succeeded"],
        ],
    ),
    ([ended(0, 0)], None, [["w0", "box0", "0", "succeeded"], ["w1-3", "3 nodes", "-", "nobody knows how"]]),
]


@pytest.mark.parametrize(("exits", "cause", "rows"), ENDS)
def test_who_failed_and_who_was_stopped_for_it(
    exits: list[dict[str, Any]], cause: int | None, rows: list[list[str]]
) -> None:
    assert cells(job(exits, cause, "lost" if cause is None else "failed")) == rows


def test_there_is_none_where_nothing_failed_or_nobody_else_was_there() -> None:
    assert table(job([ended(n, 0) for n in range(4)], None, "succeeded"), str) == []
    assert table(job([], None, "stopped"), str) == []
    assert table({**job([ended(0, 1)], 0), "processes": 1}, str) == []
