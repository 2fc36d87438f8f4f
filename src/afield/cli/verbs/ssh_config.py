"""`afield node ssh-config`: nodes as hosts for editors and everything else that speaks ssh."""

from __future__ import annotations

import sys

import click

from afield.cli import context, show
from afield.errors import UsageError


@click.command(name="ssh-config", short_help="nodes as hosts for editors and ssh")
@click.option("--install", "what", flag_value="install", help="Write the file, and one line into ~/.ssh/config.")
@click.option("--remove", "what", flag_value="remove", help="Take both away again.")
@click.option("-y", "--yes", is_flag=True, help="Change ~/.ssh/config without asking.")
def command(what: str | None, yes: bool) -> None:
    """Print a Host block for each node, as ssh itself reaches it; nothing is written.

    \b
      afield node ssh-config --install     then VS Code and others list the nodes
      code --remote ssh-remote+box1 /scratch/me
      afield node ssh-config --remove

    With --install they go into a file of afield's own, which one line in ~/.ssh/config includes; that line is shown
    first. Do it again after `afield node add`.
    """
    from afield.sdk import ssh_config

    if what == "remove":
        there = ssh_config.remove()
        show.say(f"removed {ssh_config.ours()} and its line" if there else "there was nothing of ours")
        return
    nodes = [node for node in context.client().nodes() if node["backend"] == "ssh"]
    content = ssh_config.text(nodes)
    if what is None:
        print(content, end="")
        return
    if not ssh_config.included():
        _ask(f"{ssh_config.SAYS}\n{ssh_config.include()}", str(ssh_config.theirs()), yes)
    ssh_config.install(content)
    names = ", ".join(node["name"] for node in nodes) or "no node yet"
    show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} {ssh_config.ours()}: {names}")
    if nodes:
        show.hint(f"code --remote ssh-remote+{nodes[0]['name']}    or: ssh {nodes[0]['name']}")


def _ask(lines: str, path: str, yes: bool) -> None:
    show.say(f"{path} gets these lines at its beginning:\n")
    for line in lines.splitlines():
        show.say(f"    {line}")
    show.say()
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing was changed", why="nobody can be asked here", hints=["afield node ssh-config --install -y"]
        )
    if not click.confirm("Add them?", err=True):
        raise UsageError("nothing was changed")
