"""`afield shell`: a shell on a node or beside a job, over the connection that is open already."""

from __future__ import annotations

import os

import click

from afield.cli import context, show
from afield.errors import UsageError


@click.command(name="shell", short_help="a shell on a node, or beside a job")
@click.option(
    "-w", "--worker", type=click.IntRange(min=0), metavar="N", help="On this worker of a job (0 when none is named)."
)
@click.argument("target", required=False, metavar="[NODE|JOB]")
def command(target: str | None, worker: int | None) -> None:
    """Open a login shell on a node, or a shell with the variables and the folder of a job's process.

    \b
      afield shell box1
      afield shell 12 -w 3      on worker 3 of job 12
      afield shell              beside the job that runs
    """
    client = context.client()
    if target is None or context.is_job(target):
        job = None if target is None else context.JOB.convert(target, None, None)
        number = context.only_job(client) if job is None else context.number(client, job)
        found = client.job_shell(number, worker or 0)
        show.hint(f"job {number}, worker {worker or 0}, on {found['node']}")
    elif worker is not None:
        raise UsageError("a node has no workers; jobs have", hints=[f"afield shell {target}", "afield shell 12 -w 3"])
    else:
        found = client.shell(target.removeprefix("node:"))
    os.execvp(found["argv"][0], found["argv"])
