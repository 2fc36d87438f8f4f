"""`afield why`: why a job waits, and what would start it now; or how it ended."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.cli.follow import end_line, quoted


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
    view = told["view"]
    if view["outcome"]:
        print("\n".join([end_line(view), *quoted(view)]))
        return
    reason = told["reason"] if told["reason"] != view["phase"] else ""
    print(f"job {told['job']} is {view['phase']}" + (f": {show.safe(reason)}" if reason else ""))
    for line in told["lines"]:
        if line != reason:
            print(f"  {show.safe(line)}")
    for change in told.get("would_start", ()):
        print(f"  would start it: {show.safe(change)}")
