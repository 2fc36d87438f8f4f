"""`afield show`: everything known about a job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from afield.cli import context, show
from afield.cli.asked import in_words
from afield.cli.follow import exit_status
from afield.cli.jobs import state
from afield.errors import AfieldError
from afield.sdk.client import Client
from afield.sdk.said import said

ENVIRONMENTS = {"none": "none: what the node has", "plain": "plain: the node's python3"}


@click.command(name="show", short_help="everything known about a job")
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, as_json: str | None) -> None:
    """Show a job: command, code, request, attempts and how they ended.

    \b
      afield show 3
      afield show @last --json phase,exit_status
    """
    client = context.client()
    view = client.job(context.number(client, job))
    if as_json:
        show.as_json(view if context.fields(as_json) else {"schema": 1, "job": view}, context.fields(as_json))
        return
    for key, value in _rows(view) + _progress(client, view):
        print(f"{show.paint(key.ljust(12), show.BOLD, sys.stdout)} {show.safe(value)}")
    for attempt in view["attempts"]:
        print(_attempt(attempt))


def _rows(view: dict[str, Any]) -> list[tuple[str, str]]:
    code = view["snapshot"] or {}
    rows = [
        ("job", f"{view['number']} {view['name']}".rstrip()),
        ("state", state(view)),
        ("command", " ".join(view["command"])),
        ("request", f"{in_words(view['request'])} ({view['request']})"),
        ("environment", " ".join([ENVIRONMENTS.get(view["environment"], view["environment"]), *view["packages"]])),
        ("code", f"{code.get('root', '')} tree {code.get('tree', '')[:12]}" if code else "none"),
        ("submitted", f"{view['submitted_at']} ({show.ago(view['submitted_at'])})"),
    ]
    if code.get("base_commit"):
        rows.insert(6, ("based on", f"commit {code['base_commit'][:12]}"))
    if view["continues"]:
        rows.insert(-1, ("continues", f"job {view['continues']}"))
    if view["ended_at"]:
        rows.append(("ended", f"{view['ended_at']} ({show.ago(view['ended_at'])})"))
    if view["exit_status"] is not None:
        rows.append(("exit", str(exit_status(view))))
    if view["coming"]:
        rows.append(("outputs", f"do not come home: {view['trouble']}" if view["trouble"] else "on their way home"))
    return rows


def _progress(client: Client, view: dict[str, Any]) -> list[tuple[str, str]]:
    """How far a running job says that it is; nothing where its node would have to be waited for."""
    if view["phase"] != "running" or view["silent"]:
        return []
    try:
        found = said(client, view["number"], "progress/0", 0)
    except AfieldError:
        return []
    return [("progress", amount(found[-1]))] if found else []


def amount(progress: Mapping[str, Any]) -> str:
    """A word of progress as people read it."""
    done, total = progress["done"], progress["total"]
    return f"{done:g}" if not total else f"{done:g} of {total:g}, {done / total:.0%}"


def _attempt(attempt: dict[str, Any]) -> str:
    word = attempt["outcome"] or attempt["state"]
    lines = [f"attempt {attempt['number']}: {word} on {', '.join(attempt['nodes'])}"]
    started, ended = show.moment(attempt["started_at"]), show.moment(attempt["ended_at"])
    if started is not None:
        lines.append(
            f"  started {attempt['started_at']}" + (f", ran {show.duration(ended - started)}" if ended else "")
        )
    several = len(attempt["nodes"]) > 1
    where = {p["rank"]: f" on {p['node']}" if several else "" for p in attempt.get("processes", ())}
    for exited in attempt["exits"]:
        cause = "  <- ended the attempt" if attempt["cause"] == exited["rank"] and len(attempt["exits"]) > 1 else ""
        lines.append(f"  process {exited['rank']}{where.get(exited['rank'], '')}: {exited['how']}{cause}")
    if attempt["survivors"]:
        lines.append(f"  outlived the program and were killed: {', '.join(attempt['survivors'])}")
    lines += [f"  {line}" for line in attempt["detail"].splitlines()]
    return show.safe_lines("\n".join(lines))
