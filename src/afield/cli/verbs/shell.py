"""`afield shell`: a shell on a node, over the connection that is open already."""

from __future__ import annotations

import os

import click

from afield.cli import context


@click.command(name="shell", short_help="a shell on a node")
@click.argument("node")
def command(node: str) -> None:
    """Open a login shell on a node.

    \b
      afield shell box1
    """
    argv = context.client().shell(node.removeprefix("node:"))["argv"]
    os.execvp(argv[0], argv)
