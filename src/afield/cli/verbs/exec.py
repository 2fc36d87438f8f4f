"""`afield exec`: one command on nodes, or beside the processes of a job, at once, now."""

from __future__ import annotations

import sys
from typing import Any

import click

from afield.cli import context, show
from afield.cli.terminal import Filter, Lines
from afield.errors import UsageError, from_dict


class _JobFirst(click.Command):
    """Options may also stand behind the job: afield exec 12 -w 3 -- CMD."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The job in front as an option, so that what follows is read as options until CMD."""
        if len(args) > 1 and context.is_job(args[0]):
            args = ["--job", *args]
        return super().parse_args(ctx, args)


@click.command(
    name="exec",
    cls=_JobFirst,
    short_help="run one command on nodes or beside a job",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--job", type=context.JOB, hidden=True)
@click.option("-n", "--node", multiple=True, help="On this node; may be given again, or several as a,b.")
@click.option("-w", "--worker", "workers", default="", metavar="N,…|all", help="On these workers of a job.")
@click.option("--all", "all_", is_flag=True, help="On every node, or on every worker of the job.")
@click.option("-e", "--env", multiple=True, metavar="K[=V]", help="A variable for the command; K alone passes yours.")
@click.argument("argv", nargs=-1, required=True, metavar="[JOB] [--] CMD...", type=click.UNPROCESSED)
def command(node: tuple[str, ...], workers: str, all_: bool, argv: tuple[str, ...], **more: Any) -> int:
    """Run a command now, on nodes or beside a job. One of them: its exit code. Several: each that failed, and 1.

    \b
      afield exec -n box1 -- nvidia-smi
      afield exec --all -- uptime            on every node
      afield exec 12 -- ls -l                in job 12's folder, on all workers
      afield exec -w 3 -- sh -c 'echo $RANK' on worker 3 of the job that runs

    Beside a job it has the variables and the folder of the worker's first process; it is no part of the job.
    On nodes it has the variables (`env`) of the project here.
    """
    target, words = (more["job"], list(argv)) if more["job"] is not None else _split(argv)
    from afield.sdk.variables import given, here

    nodes = [name.removeprefix("node:") for text in node for name in text.split(",") if name]
    client = context.client()
    if target is None and not workers:
        if bool(nodes) == all_:
            hints = ["afield exec -n box1 -- uptime", "afield exec --all -- uptime", "afield exec 12 -- nvidia-smi"]
            raise UsageError("say where", why="nodes, all of them, or a job", hints=hints)
        return _print(client.execute(nodes or None, words, here(more["env"])), _Names(several=all_ or len(nodes) > 1))
    if nodes:
        raise UsageError("a job has workers, not nodes", hints=["-w 0", "-w all"])
    number = context.only_job(client) if target is None else context.number(client, target)
    chosen = context.workers("all" if all_ else workers)
    several = len(chosen) > 1 if chosen is not None else len(client.job(number)["nodes"]) > 1
    return _print(client.execute_in(number, words, given(more["env"]), chosen), _Names(several=several, job=True))


def _split(argv: tuple[str, ...]) -> tuple[int | str | None, list[str]]:
    """The job that the words begin with, if any, and the command."""
    if len(argv) < 2 or not context.is_job(argv[0]):
        return None, list(argv)
    words = list(argv[2:] if argv[1] == "--" else argv[1:])
    if not words:
        raise UsageError("there is no command", hints=[f"afield exec {argv[0]} -- nvidia-smi"])
    return context.JOB.convert(argv[0], None, None), words


class _Names:
    """What those that a command runs on are called."""

    def __init__(self, *, several: bool, job: bool = False) -> None:
        self.several = several
        self._job = job

    def of(self, head: Any) -> str:
        return f"w{head['worker']}" if self._job else str(head["node"])

    def told(self, head: Any) -> str:
        return f"w{head['worker']} ({head['node']})" if self._job else str(head["node"])


def _print(frames: Any, names: _Names) -> int:
    lines: dict[tuple[str, str], Lines] = {}
    filters: dict[tuple[str, str], Filter] = {}
    worst = 0
    failed = []
    for head, data in frames:
        if head["on"] == "out":
            key = (names.of(head), head["stream"])
            if names.several:
                data = lines.setdefault(key, Lines(f"[{key[0]}] ".encode())).feed(data)
            _write(head["stream"], filters.setdefault(key, Filter()), data)
        elif head["on"] == "exit":
            for (name, stream), held in lines.items():
                if name == names.of(head):
                    _write(stream, filters[name, stream], held.rest())
            status = head["code"] if head["code"] is not None else 128 + (head["signal"] or 0)
            if status:
                worst = status
                failed.append(f"{names.told(head)}: exit code {status}")
        elif head["on"] == "error":
            error = from_dict(head["error"])
            show.say(f"{names.told(head)}: {show.error_text(error)}")
            worst = int(error.exit)
            failed.append(f"{names.told(head)}: {error.what}")
    if names.several and failed:
        show.say("\n".join(sorted(failed)))
        return 1
    return worst


def _write(stream: str, filter: Filter, data: bytes) -> None:
    to = sys.stderr if stream == "err" else sys.stdout
    if to.isatty():
        to.write(filter.feed(data))
    else:
        to.buffer.write(data)
    to.flush()
