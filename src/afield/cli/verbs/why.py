"""`afield why`: why a job waits, and what would start it now; or how it ended."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.cli.jobs import answer


@click.command(name="why", short_help="why a job waits, or how it ended")
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, as_json: str | None) -> None:
    """Say why a job is where it is: what binds, who holds it, what change would start it now.

    \b
      afield why 4
    """
    client = context.client()
    told = client.why(context.number(client, job))
    if as_json:
        show.as_json(told, context.fields(as_json))
        return
    print("\n".join(answer(told)))
