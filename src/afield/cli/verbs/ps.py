"""`afield ps`: jobs, the newest last: nearest to the prompt."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.cli.jobs import COLUMNS, of_now, row


@click.command(name="ps", short_help="list jobs")
@click.option("-a", "--all", "all_", is_flag=True, help="Ended jobs too, however old.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many.")
@context.json_option
def command(all_: bool, limit: int, as_json: str | None) -> None:
    """List unfinished jobs and those that ended within a day; the newest last, nearest to the prompt.

    \b
      afield ps
      afield ps --all
      afield ps --json number,phase,reason
    """
    client = context.client()
    found = client.jobs(all=True, limit=limit)
    more = len(found) == limit and int(found[-1]["number"]) > 1
    jobs = found if all_ else of_now(client, found, limit if more else 0)
    jobs = jobs[::-1]
    if as_json:
        show.as_json({"schema": 1, "jobs": jobs}, context.fields(as_json))
        return
    if not jobs:
        show.say("no jobs; start one: afield run train.py")
        return
    show.table([row(j) for j in jobs], COLUMNS, {2: show.PHASE_COLOURS})
    if more:
        show.hint(f"of the newest {limit}; for older ones: --limit {10 * limit}")
