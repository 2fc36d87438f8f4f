"""`afield logs`: the output of a job, from the mirror; with -f until its end."""

from __future__ import annotations

from typing import Any

import click

from afield.cli import context, keys, show
from afield.cli.follow import Printer, end_line, exit_status, follow, quoted
from afield.cli.lines import as_json_lines


@click.command(name="logs", short_help="show a job's output")
@click.option("-f", "--follow", "stay", is_flag=True, help="Go on until the job ends, and hand its exit code through.")
@click.option("--rank", type=int, help="Only this process.")
@click.option("--stream", type=click.Choice(["out", "err"]), help="Only this stream.")
@click.option("--raw", is_flag=True, help="Bytes as they are, on a terminal too.")
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, stay: bool, as_json: str | None, rank: int | None, **how: Any) -> int:
    """Show what a job has written: its stdout on stdout, its stderr on stderr.

    \b
      afield logs 3
      afield logs @last -f
      afield logs 3 --rank 1 --stream err
      afield logs 3 --json                     a JSON object for each line
    """
    client = context.client()
    number = context.number(client, job)
    if as_json:
        view = as_json_lines(client.follow(number, {}, stay=stay), rank, context.fields(as_json))
        return exit_status(view) if stay else 0
    stream, raw = how["stream"], how["raw"]
    processes = client.job(number)["processes"]
    if stay and keys.person():
        show.hint("Ctrl-C stops following; the job goes on")
    printer = Printer(prefixed=processes > 1 and rank is None, raw=raw, stages=stay, only=stream or "", rank=rank)
    view = follow(client.follow(number, {}, stay=stay), printer)
    if view["outcome"] is not None and (stay or view["outcome"] == "setup_failed"):
        show.say("\n".join([*quoted(view), end_line(view)]))
    return exit_status(view) if stay else 0
