"""`afield wait`: wait for a job and hand its exit code through."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.cli.follow import end_line, exit_status


@click.command(name="wait", short_help="wait for a job")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, quiet: bool, as_json: str | None) -> int:
    """Wait until a job has ended; the exit code is the job's own.

    \b
      afield wait 3
    """
    client = context.client()
    view = client.wait(context.number(client, job))
    if as_json:
        show.as_json({"schema": 1, "job": view}, context.fields(as_json))
    elif not quiet:
        show.say(end_line(view))
    return exit_status(view)
