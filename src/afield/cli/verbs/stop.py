"""`afield stop`: stop jobs with everything they started; "stopped" is said when nothing is left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from afield.cli import context, show
from afield.errors import UsageError

if TYPE_CHECKING:
    from afield.sdk.client import Client


@click.command(name="stop", short_help="stop jobs")
@click.option("--no-wait", is_flag=True, help="Ask only; do not wait until nothing is left of them.")
@click.option("--all", "all_", is_flag=True, help="All jobs that are not over; asks first.")
@click.option("-y", "--yes", is_flag=True, help="With --all: do not ask.")
@context.json_option
@click.argument("jobs", type=context.JOB, nargs=-1)
def command(jobs: tuple[int | str, ...], no_wait: bool, all_: bool, yes: bool, as_json: str | None) -> int:
    """Stop jobs: TERM, the grace time, KILL, then a look that nothing is left.

    \b
      afield stop 3
      afield stop 3 4 5
      afield stop --all
    """
    if bool(jobs) == all_:
        raise UsageError("say which jobs", hints=["afield stop @last", "afield stop --all", "afield ps"])
    client = context.client()
    numbers = _all(client, yes=yes) if all_ else [context.number(client, j) for j in jobs]
    views = [client.stop(number) for number in numbers]
    if not no_wait:
        views = [_ended(client, view) for view in views]
    if as_json:
        show.as_json({"schema": 1, "jobs": views}, context.fields(as_json))
        return 0
    for view in views:
        print(f"job {view['number']}: {view['phase'].replace('_', ' ')}")
    return 0


def _all(client: Client, *, yes: bool) -> list[int]:
    """The jobs that are not over, once a person has seen how many that are."""
    jobs = [job for job in client.jobs(limit=1_000_000) if job["phase"] != "stopping"]
    numbers = sorted(int(job["number"]) for job in jobs)
    if not numbers:
        show.say("no job is to be stopped")
    if not numbers or yes:
        return numbers
    running = sum(job["phase"] == "running" for job in jobs)
    what = f"{'one job is' if len(jobs) == 1 else f'{len(jobs)} jobs are'} not over, {running} running"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("all jobs are not stopped unasked", why=what, hints=["afield stop --all -y"])
    show.say(what)
    if not click.confirm("Stop all of them?", err=True):
        raise UsageError("nothing was stopped")
    return numbers


def _ended(client: object, view: dict[str, object]) -> dict[str, object]:
    if view["outcome"] is not None:
        return view
    if view["silent"]:
        show.say(f"job {view['number']}: its node does not answer; the stop is carried out when it does")
        return view
    for head, _ in client.follow(view["number"], {}):  # type: ignore[attr-defined]
        if head["on"] in ("job", "end"):
            view = head["job"]
            if view["silent"]:
                show.say(f"job {view['number']}: its node does not answer; the stop is carried out when it does")
                return view
    return view
