"""`afield top`: nodes, devices and jobs, live."""

from __future__ import annotations

import os
import sys

import click

from afield.cli import context
from afield.errors import UsageError


@click.command(name="top", short_help="nodes, devices and jobs, live")
def command() -> None:
    """Show nodes with their devices, jobs, and the log of the selected job, as they change. ? lists the keys.

    \b
      afield top
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise no_terminal("input or output is none")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise no_terminal("TERM says that this one cannot be drawn on")
    if os.environ.get("AFIELD_COLOR") == "never":
        os.environ["NO_COLOR"] = "1"
    client = context.client()
    client.hello()
    from afield.cli.top.app import Top  # half a second that no other command shall pay for

    Top(client).run()


def no_terminal(why: str) -> UsageError:
    """What to use instead where the screen cannot be."""
    return UsageError(
        "top needs a terminal",
        why=why,
        hints=["afield ps --json        jobs, once", "afield status           nodes and jobs, once"],
    )
