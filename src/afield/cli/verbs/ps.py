"""`afield ps`: jobs, newest first."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from afield.cli import context, show


@click.command(name="ps", short_help="list jobs")
@click.option("-a", "--all", "all_", is_flag=True, help="Ended jobs too, however old.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many.")
@context.json_option
def command(all_: bool, limit: int, as_json: str | None) -> None:
    """List unfinished jobs and those that ended within a day.

    \b
      afield ps
      afield ps --all
      afield ps --json number,phase,reason
    """
    jobs = context.client().jobs(all=True, limit=limit)
    if not all_:
        recent = time.time() - 86400
        jobs = [j for j in jobs if j["ended_at"] is None or (show.moment(j["ended_at"]) or 0) > recent]
    if as_json:
        show.as_json({"schema": 1, "jobs": jobs}, context.fields(as_json))
        return
    if not jobs:
        show.say("no jobs; start one: afield run train.py")
        return
    show.table(
        [_row(j) for j in jobs],
        ["JOB", "NAME", "STATE", "WHERE", "DEVICES", "TIME", "COMMAND"],
        {2: show.PHASE_COLOURS},
    )


def _row(job: dict[str, Any]) -> list[str]:
    devices = sum(len(d) for d in job["devices"].values())
    command = " ".join(job["command"])
    return [
        str(job["number"]),
        job["name"] or "-",
        state(job),
        ",".join(job["nodes"]) or "-",
        str(devices or "-"),
        _took(job),
        command,
    ]


def state(job: dict[str, Any]) -> str:
    """The phase with what triage needs: the reason of a waiting job, the exit of a failed one, a silent node."""
    phase = str(job["phase"])
    if job["silent"]:
        node, seconds = next(iter(job["silent"].items()))
        return f"{phase} ({node} silent {show.duration(seconds)})"
    reason = job["reason"].splitlines()[0] if job["reason"] else ""
    if sys.stdout.isatty() and len(reason) > 40:
        reason = reason[:39] + "…"
    return f"{phase} ({reason})" if reason else phase


def _took(job: dict[str, Any]) -> str:
    started = show.moment(job["started_at"])
    if started is None:
        return "-"
    ended = show.moment(job["ended_at"]) or time.time()
    return show.duration(max(0.0, ended - started))
