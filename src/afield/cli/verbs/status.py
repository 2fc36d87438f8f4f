"""`afield status`: one screen with nodes and unfinished jobs."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.cli.jobs import COLUMNS, state
from afield.cli.verbs.node_ls import HEADS, node_row


@click.command(name="status", short_help="one screen: nodes and jobs")
@context.json_option
def command(as_json: str | None) -> None:
    """Show nodes with what is free on them, and the jobs that are not over.

    \b
      afield status
    """
    client = context.client()
    overview = client.overview()
    if as_json:
        show.as_json(overview, context.fields(as_json))
        return
    show.table(
        [node_row(n) for n in overview["nodes"]],
        HEADS,
        {1: show.PHASE_COLOURS},
    )
    print()
    jobs = client.jobs(all=False, limit=1000)[::-1]
    if not jobs:
        print("no unfinished jobs")
        return
    rows = [[str(j["number"]), j["name"] or "-", state(j), ",".join(j["nodes"]) or "-"] for j in jobs]
    show.table(rows, COLUMNS[:4], {2: show.PHASE_COLOURS})
