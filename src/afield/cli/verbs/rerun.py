"""`afield rerun`: the same job again, with the code it ran then."""

from __future__ import annotations

import click

from afield.cli import context
from afield.cli.streams import Choice, stream_options
from afield.cli.verbs.run import Shown, attached, detached


@click.command(name="rerun", short_help="submit a job again")
@click.option("-d", "--detach", is_flag=True, help="Give the prompt back.")
@click.option("-q", "--quiet", is_flag=True, help="Only the program's output and errors.")
@stream_options
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, detach: bool, quiet: bool, as_json: str | None, choice: Choice) -> int:
    """Submit a job again as a new one: same code, command, environment and request.

    \b
      afield rerun 3
      afield rerun @last -d
    """
    client = context.client()
    number = context.number(client, job)
    view = client.rerun(number)
    environment = "the node's python3" if view["environment"] == "plain" else view["environment"]
    if detach:
        detached(view, as_json, quiet)
        return 0
    texts = {"sync": f"as in job {number}", "env": environment}
    return attached(client, view, Shown(as_json, quiet, texts, choice, f"job {number} again"))
