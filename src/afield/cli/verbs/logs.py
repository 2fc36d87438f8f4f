"""`afield logs`: the output of a job, from the mirror; with -f until its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from afield.cli import context, ends, keys, show
from afield.cli.follow import Printer, end_line, exit_status, follow, quoted
from afield.cli.lines import as_json_lines
from afield.cli.streams import Choice, stream_options


@click.command(name="logs", short_help="show a job's output")
@click.option("-f", "--follow", "stay", is_flag=True, help="Go on until the job ends, and hand its exit code through.")
@click.option("--rank", type=click.IntRange(min=0), help="Only this process.")
@stream_options
@click.option("--raw", is_flag=True, help="Bytes as they are, on a terminal too.")
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, stay: bool, as_json: str | None, choice: Choice, **how: Any) -> int:
    """Show what a job has written: its stdout on stdout, its stderr on stderr.

    \b
      afield logs 3
      afield logs @last -f
      afield logs 3 --rank 1 --stream err
      afield logs 3 --stream 0,3 --grep 'loss|Error'
      afield logs 3 --json               an object for each line
    """
    client = context.client()
    number = context.number(client, job)
    now = client.job(number)
    if how["rank"] is not None:
        choice = replace(choice, ranks=frozenset([how["rank"]]))
    choice.check(now["processes"])
    if as_json:
        view = as_json_lines(client.follow(number, {}, stay=stay), choice, context.fields(as_json))
        return exit_status(view) if stay else 0
    if stay and keys.person():
        show.hint("Ctrl-C stops following; the job goes on")
    printer = Printer(replace(choice, raw=how["raw"], stay=stay), stages=stay)
    printer.output.view = now
    view = follow(client.follow(number, {}, stay=stay), printer)
    if view["outcome"] is not None and (stay or view["outcome"] == "setup_failed"):
        show.say("\n".join([*quoted(view), end_line(view), *ends.table(view, printer.output.last_line)]))
    return exit_status(view) if stay else 0
