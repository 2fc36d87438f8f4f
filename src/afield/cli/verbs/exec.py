"""`afield exec`: one command on nodes at once, now, outside any job."""

from __future__ import annotations

import sys
from typing import Any

import click

from afield.cli import context, show
from afield.cli.terminal import Filter, Lines
from afield.errors import UsageError, from_dict


@click.command(
    name="exec", short_help="run one command on nodes at once", context_settings={"allow_interspersed_args": False}
)
@click.option("-n", "--node", multiple=True, help="On this node; may be given again.")
@click.option("--all", "all_", is_flag=True, help="On every node.")
@click.option("-e", "--env", multiple=True, metavar="K=V", help="A variable for the command.")
@click.argument("argv", nargs=-1, required=True, metavar="[--] CMD...", type=click.UNPROCESSED)
def command(node: tuple[str, ...], all_: bool, env: tuple[str, ...], argv: tuple[str, ...]) -> int:
    """Run a command on nodes now. One node: its exit code. Several: a line for each that failed, and 1.

    \b
      afield exec -n box1 -- nvidia-smi
      afield exec --all -- uptime
    """
    if bool(node) == all_:
        raise UsageError(
            "say where",
            why="either nodes or all of them",
            hints=["afield exec -n box1 -- uptime", "afield exec --all -- uptime"],
        )
    variables = dict(pair.partition("=")[::2] for pair in env)
    frames = context.client().execute(list(node) or None, list(argv), variables)
    return _print(frames, several=all_ or len(node) > 1)


def _print(frames: Any, *, several: bool) -> int:
    lines: dict[tuple[str, str], Lines] = {}
    filters: dict[tuple[str, str], Filter] = {}
    worst = 0
    failed = []
    for head, data in frames:
        if head["on"] == "out":
            key = (head["node"], head["stream"])
            if several:
                data = lines.setdefault(key, Lines(f"{head['node']}│ ".encode())).feed(data)
            _write(head["stream"], filters.setdefault(key, Filter()), data)
        elif head["on"] == "exit":
            for (name, stream), held in lines.items():
                if name == head["node"]:
                    _write(stream, filters[name, stream], held.rest())
            status = head["code"] if head["code"] is not None else 128 + (head["signal"] or 0)
            if status:
                worst = status
                failed.append(f"{head['node']}: exit code {status}")
        elif head["on"] == "error":
            error = from_dict(head["error"])
            show.say(f"{head['node']}: {show.error_text(error)}")
            worst = int(error.exit)
            failed.append(f"{head['node']}: {error.what}")
    if several and failed:
        show.say("\n".join(failed))
        return 1
    return worst


def _write(stream: str, filter: Filter, data: bytes) -> None:
    to = sys.stderr if stream == "err" else sys.stdout
    if to.isatty():
        to.write(filter.feed(data))
    else:
        to.buffer.write(data)
    to.flush()
