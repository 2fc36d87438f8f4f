"""`afield ps`: jobs, the newest last: nearest to the prompt."""

from __future__ import annotations

import time
from typing import Any

import click

from afield.cli import context, show
from afield.cli.grid import Column

COLUMNS = (
    Column("JOB", right=True),
    Column("NAME", rank=1, least=8),
    Column("STATE", least=44),
    Column("WHERE", rank=2, least=6),
    Column("DEVICES", rank=5, right=True),
    Column("TIME", rank=3, right=True),
    Column("USER", rank=6, least=4),
    Column("COMMAND", rank=4, least=16),
)


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
    jobs = found if all_ else _of_now(client, found, limit if more else 0)
    jobs = jobs[::-1]
    if as_json:
        show.as_json({"schema": 1, "jobs": jobs}, context.fields(as_json))
        return
    if not jobs:
        show.say("no jobs; start one: afield run train.py")
        return
    show.table([_row(j) for j in jobs], COLUMNS, {2: show.PHASE_COLOURS})
    if more:
        show.hint(f"of the newest {limit}; for older ones: --limit {10 * limit}")


def _of_now(client: Any, found: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Of the newest jobs those of today; with a limit also unfinished ones that are older than these."""
    recent = time.time() - 86400
    jobs = [j for j in found if j["ended_at"] is None or (show.moment(j["ended_at"]) or 0) > recent]
    known = {j["number"] for j in jobs}
    older = [j for j in client.jobs(all=False, limit=limit) if j["number"] not in known] if limit else []
    return sorted([*jobs, *older], key=lambda j: -int(j["number"]))


def _row(job: dict[str, Any]) -> list[str]:
    devices = sum(len(d) for d in job["devices"].values())
    command = " ".join(job["command"])
    return [
        str(job["number"]),
        job["name"] or "-",
        state(job),
        ",".join(job["nodes"]) or "-",
        str(devices or "-"),
        took(job),
        job["user"] or "-",
        command,
    ]


def state(job: dict[str, Any]) -> str:
    """The phase with what triage needs: the reason of a waiting job, the exit of a failed one, a silent node."""
    phase = str(job["phase"])
    if job["silent"]:
        node, seconds = next(iter(job["silent"].items()))
        return f"{phase} ({node} silent {show.duration(seconds)})"
    reason = job["reason"].splitlines()[0].removeprefix("waits ") if job["reason"] else ""
    return f"{phase} ({reason})" if reason else phase


def took(job: dict[str, Any]) -> str:
    """How long it has run, or ran."""
    started = show.moment(job["started_at"])
    if started is None:
        return "-"
    ended = show.moment(job["ended_at"]) or time.time()
    return show.duration(max(0.0, ended - started))
