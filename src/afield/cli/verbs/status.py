"""`afield status`: one screen with the fleet in a line, its nodes, and the jobs that are not over."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from afield.cli import context, show
from afield.cli.grid import cut
from afield.cli.jobs import COLUMNS, row, summary
from afield.cli.verbs.node_ls import HEADS, node_row, silent

View = dict[str, Any]
AROUND = 6
"""Lines that are no node and no job: the first, the heads, what parts them, the prompt."""

LEAST = 3
"""So many jobs are shown on the smallest terminal."""


@click.command(name="status", short_help="one screen: nodes and jobs")
@context.json_option
def command(as_json: str | None) -> None:
    """Show nodes with what is free on them, and the jobs that are not over: on a terminal as many as fit on it.

    \b
      afield status
    """
    client = context.client()
    overview = client.overview()
    if as_json:
        show.as_json(overview, context.fields(as_json))
        return
    nodes, jobs = overview["nodes"], client.jobs(all=False, limit=1000)[::-1]
    whole, (columns, lines) = summary(nodes, jobs), shutil.get_terminal_size()
    print(cut(whole, columns) if sys.stdout.isatty() else whole)
    print()
    room = lines - AROUND if sys.stdout.isatty() else len(nodes) + len(jobs)
    few = _fitting(nodes, max(LEAST, room // 2, room - len(jobs)), lambda node: node["health"] == "ready")
    show.table([node_row(n) for n in few], HEADS, {1: show.PHASE_COLOURS})
    _more(len(nodes) - len(few), "afield node ls")
    troubled = [node for node in few if node["health"] in ("unreachable", "needs_login")]
    for node in troubled:
        silent(node)
    print()
    if not jobs:
        print("no unfinished jobs; ended ones: afield ps")
        return
    left = room - len(few) - 2 * len(troubled) - (len(few) < len(nodes))
    shown = _fitting(jobs, max(LEAST, left), lambda job: job["phase"] == "queued")
    show.table([row(j) for j in shown], COLUMNS, {2: show.PHASE_COLOURS})
    _more(len(jobs) - len(shown), "afield ps")


def _fitting(things: list[View], room: int, less: Callable[[View], bool]) -> list[View]:
    """As many as there is room for, with a line for the others, in their order; those that tell `less` go first."""
    if len(things) <= room:
        return things
    chosen = sorted(range(len(things)), key=lambda i: less(things[i]))[: room - 1]
    return [things[i] for i in sorted(chosen)]


def _more(count: int, where: str) -> None:
    if count:
        show.hint(f"and {count:,} more: {where}")
