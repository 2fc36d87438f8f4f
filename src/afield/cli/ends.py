"""How the processes of a job ended, when not all of them succeeded: who failed first, and who was stopped for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from signal import SIGKILL, SIGTERM
from typing import Any

from afield.cli import show
from afield.cli.fold import spans
from afield.cli.streams import letter

View = Mapping[str, Any]

HEADS = ("WORKER", "NODE", "CODE", "ENDED", "LAST LINE")
OURS = (SIGTERM, SIGKILL)
WIDTH = 100
"""A last line is cut to so many characters: all of it is in the log."""


def table(view: View, last_line: Callable[[int], str]) -> list[str]:
    """A line for each process that failed, the first one first; those that were stopped for it together.

    Nothing for a job of one process, for one that succeeded, and where no process ended by itself.
    """
    attempt = view["attempts"][-1] if view["attempts"] else None
    if view["processes"] < 2 or view["outcome"] not in ("failed", "lost") or attempt is None:
        return []
    name = letter(view)
    exits = {exited["rank"]: exited for exited in attempt["exits"]}
    together: dict[tuple[str, str], list[int]] = {}
    rows: list[list[str]] = []
    for process in sorted(attempt["processes"], key=lambda p: (p["rank"] != attempt["cause"], p["rank"])):
        rank = process["rank"]
        code, how = _how(exits.get(rank), attempt, name)
        if _alone(exits.get(rank), how):
            rows.append([f"{name}{rank}", process["node"], code, how, last_line(rank)[:WIDTH]])
        else:
            together.setdefault((code, how), []).append(rank)
    nodes = {process["rank"]: process["node"] for process in attempt["processes"]}
    for (code, how), ranks in together.items():
        where = list(dict.fromkeys(nodes[rank] for rank in ranks))
        last = last_line(ranks[0])[:WIDTH] if len(ranks) == 1 else ""
        rows.append([spans(ranks, name), where[0] if len(where) == 1 else f"{len(where)} nodes", code, how, last])
    return _aligned(rows)


def _alone(exited: View | None, how: str) -> bool:
    return exited is not None and exited["status"] != 0 and not how.startswith("stopped")


def _how(exited: View | None, attempt: View, name: str) -> tuple[str, str]:
    """(exit status, in words)."""
    cause = attempt["cause"]
    if exited is None:
        # Where the others ended and the outcome is known, it was still behind its gate.
        began = cause is None or attempt["outcome"] != "failed"
        return "-", "nobody knows how" if began else f"not begun because {name}{cause} failed"
    rank = exited["rank"]
    status = str(exited["status"])
    if rank == cause:
        return status, "failed first" if exited["signal"] is None else f"first: {exited['how']}"
    if exited["status"] == 0:
        return status, "succeeded"
    # A SIGKILL that was not ours has words of its own about where it came from.
    ours = exited["signal"] in OURS and ";" not in exited["how"]
    if cause is not None and (ours or exited["code"] == 128 + SIGTERM):
        return status, f"stopped because {name}{cause} failed"
    return status, "failed" if exited["signal"] is None else exited["how"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[show.safe(cell) for cell in row] for row in (HEADS, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    return [show.paint(lines[0], show.DIM, sys.stderr), *lines[1:]]
