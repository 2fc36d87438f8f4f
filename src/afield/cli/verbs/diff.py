"""`afield diff`: what changed in the code between two jobs, or between a job and now."""

from __future__ import annotations

import sys
from typing import Any

import click

from afield.cli import context, show
from afield.errors import UsageError


@click.command(name="diff", short_help="what changed in the code")
@context.json_option
@click.argument("job", type=context.JOB)
@click.argument("other", type=context.JOB, required=False)
def command(job: int | str, other: int | str | None, as_json: str | None) -> None:
    """Show how the code of two jobs differs, or the code of one from the workspace now.

    \b
      afield diff 2 3
      afield diff 2
    """
    from afield.sdk.code import code_diff

    client = context.client()
    first = _snapshot(client, job)
    text = code_diff(first, _snapshot(client, other) if other is not None else None)
    if as_json:
        told = {"schema": 1, "same": not text, "diff": text.decode("utf-8", "replace")}
        show.as_json(told, context.fields(as_json))
        return
    if not text:
        show.say("the code is the same")
        return
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        colour = {"+": show.GREEN, "-": show.RED, "@": show.CYAN}.get(line[:1], "")
        if sys.stdout.isatty():
            print(show.paint(show.safe(line.expandtabs()), colour, sys.stdout))
        else:
            sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")


def _snapshot(client: Any, target: int | str) -> dict[str, Any]:
    view = client.job(context.number(client, target))
    if view["snapshot"] is None:
        raise UsageError(f"job {view['number']} was sent without code")
    snapshot: dict[str, Any] = view["snapshot"]
    return snapshot
