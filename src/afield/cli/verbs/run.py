"""`afield run`: submit, follow, bring results home, hand the exit code through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from afield.cli import context, ends, keys, pinned, show
from afield.cli.follow import Printer, end_line, exit_status, follow, quoted
from afield.cli.home import home
from afield.cli.streams import Choice, stream_options
from afield.errors import AfieldError, Exit, UsageError

EXAMPLES = """Run a command on the best free node and stream its output.

\b
  afield run train.py --lr 3e-4             here's code on any free node
  afield run -n box1 -d train.py            on box1, and give the prompt back
  afield run -g 2 -- torchrun train.py      two devices
  afield run --request '2:[]' -- python3 worker.py     two processes

Options end at the first word of CMD. A .py file runs under the environment's Python.
"""


JOB_OPTIONS = (
    click.option("-n", "--node", multiple=True, help="Where: a node, or several as a,b to choose from."),
    click.option("-g", "--gpus", type=int, help="How many devices for the one process."),
    click.option("--need", help="What the process needs at least, as 'gpu_mem=1.5G,disk=3G'; takes the tightest node."),
    click.option("--request", help="Process groups and what each process needs, as '2:[4:a100,mem=40G]'."),
    click.option("--time", "time_limit", help="Time limit: 90m, 2h, 1d."),
    click.option("--name", help="A name for people."),
    click.option("--priority", type=int, help="Higher goes first."),
    click.option("--policy", help="After a fault: pass, resume, rerun, reapply, pre."),
    click.option("--environment", help="auto, none (use what the node has), plain, imports, or a file."),
    click.option("--python", help="Python version, such as 3.12."),
    click.option("--file", metavar="FILE", help="Settings from this file, not from afield.toml."),
    click.option("--dirs", "--dir", multiple=True, help="Another folder whose code comes too: FOLDER or NAME=FOLDER."),
    click.option("--setup", help="A shell command run once per node."),
    click.option("--preflight", help="A shell command run before every attempt; its failure ends it."),
    click.option("-e", "--env", multiple=True, metavar="K[=V]", help="A variable for the job; K alone passes yours."),
    click.option(
        "--secrets", "--secret", multiple=True, metavar="NAME", help="A secret that the job gets as a variable."
    ),
    click.option("--outputs", multiple=True, metavar="PATTERN", help="Files that come home by themselves, as '*.pt'."),
    click.option("--continues", "--continue", type=context.JOB, help="Begin with the keep folder of this job."),
    click.option("--merge", is_flag=True, default=None, help="One log: errors go where output goes."),
    click.option(
        "--end", type=click.Choice(["all", "first"]), help="When the job is over: all processes, or the first."
    ),
    click.option("--grace", help="Time between asking a program to stop and killing it."),
)
"""The settings of a job that the command line can say."""


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of a job."""
    for option in reversed(JOB_OPTIONS):
        function = option(function)
    return function


@click.command(
    name="run",
    help=EXAMPLES,
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
)
@job_options
@stream_options
@click.option("--no-sync", is_flag=True, help="Do not look at the code: that of this project's newest job.")
@click.option("--no-preflight", is_flag=True, help="Leave the preflight out this time.")
@click.option("--setup-again", is_flag=True, help="Run the setup although the node has done it.")
@click.option("--big", is_flag=True, help="Send a project of more than 1 GB without asking.")
@click.option("-d", "--detach", is_flag=True, help="Give the prompt back; follow with `afield logs -f`.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the plan; submit nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Only the program's output and errors.")
@context.json_option
@click.argument("argv", nargs=-1, required=True, metavar="[--] CMD...", type=click.UNPROCESSED)
def command(argv: tuple[str, ...], as_json: str | None, quiet: bool, choice: Choice, **options: Any) -> int:
    """Submit and follow."""
    detach, dry_run = options.pop("detach"), options.pop("dry_run")
    client = context.client()
    edits = None if quiet or detach or dry_run or options["no_sync"] else _edits()
    submission = _built(list(argv), given(named(client, options)))
    choice.check(sum(group["count"] for group in submission.body["request"]["groups"]))
    if not quiet:
        left_out = submission.left_out if dry_run else _unsaid(submission)
        show.say_dim([*left_out, *(f"env: {note}" for note in submission.notes)])
    view = client.submit([submission.body], dry_run=dry_run)[0]
    if dry_run:
        _plan(view, as_json, submission.texts)
        return 0
    if detach:
        detached(view, as_json, quiet)
        return 0
    code = _code(view, edits.count()) if edits is not None else submission.texts["sync"]
    return attached(client, view, Shown(as_json, quiet, submission.texts, choice, code))


def named(client: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options with the number of the job that they name. Raises NotFound, UsageError."""
    word = options["continues"]
    return {**options, "continues": context.number(client, word)} if word else options


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that the command line really says."""
    said = {k: v for k, v in options.items() if v not in (None, (), False)}
    if "time_limit" in said:
        said["time"] = said.pop("time_limit")
    return {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}


def _built(argv: list[str], options: dict[str, Any]) -> Any:
    """The submission; a large first send asks on a terminal and is refused off one."""
    from afield.sdk.submit import build  # loads snapshot and config, which --help does not need

    try:
        return build(argv, options)
    except AfieldError as error:
        if error.code != "big" or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        show.say(show.error_text(error))
        if not click.confirm("Send it?", err=True):
            raise UsageError("nothing was sent") from error
        return build(argv, {**options, "big": True})


def _edits() -> Any:
    """Git's count of edited files, under way."""
    from afield.sdk.edits import Edits

    return Edits()


def _unsaid(submission: Any) -> tuple[str, ...]:
    from afield.sdk.unsaid import left_out

    return left_out(submission)


def _code(view: Mapping[str, Any], edited: int | None) -> str:
    """Which code it is: the commit, and how many files are not as in it; "" without a checkout."""
    commit = (view["snapshot"] or {}).get("base_commit", "")[:7]
    if not commit:
        return ""
    return f"commit {commit}" + (f" + {edited:,} edited file{'s' * (edited != 1)}" if edited else "")


def _plan(view: dict[str, Any], as_json: str | None, texts: Mapping[str, str]) -> None:
    if as_json:
        show.as_json({"schema": 1, "job": view}, context.fields(as_json))
        return
    show.say(f"would run: {' '.join(show.safe(a) for a in view['command'])}")
    from afield.cli.asked import in_words

    show.say(f"request:   {in_words(view['request'])}")
    show.say(f"code:      {show.safe(texts['sync'])}")
    show.say(f"env:       {show.safe(texts['env'])}")
    show.say("nothing was submitted")


def detached(view: dict[str, Any], as_json: str | None, quiet: bool) -> None:
    """Print the number, and how to follow."""
    if as_json:
        show.as_json({"schema": 1, "job": view}, context.fields(as_json))
        return
    print(view["number"])
    if not quiet:
        if view["phase"] == "queued" and view["reason"]:
            reason = show.safe(view["reason"].removeprefix("waits "))
            show.say(f"waiting: {reason}; it can start only while this machine is awake")
        _goes_on(view["number"])


def _goes_on(number: int) -> None:
    show.hint(f"follow: afield logs {number} -f    results: afield pull {number}    end it: afield stop {number}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a followed job is shown: as JSON, only the program's output, with which texts, and which output.

    `code` is which code it is, in the title.
    """

    as_json: str | None = None
    quiet: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    code: str = ""


def attached(client: Any, view: dict[str, Any], shown: Shown) -> int:
    """Follow a job to its end and bring its results home; gives the exit status."""
    number, quiet = view["number"], shown.quiet
    if not quiet:
        parts = (view["name"], f"job {number}", shown.code)
        show.say(show.paint(show.safe(" · ".join(filter(None, parts))), show.BOLD, sys.stderr))
    printer = Printer(shown.choice, stages=not quiet, texts=shown.texts)
    printer.output.view = view
    if not quiet and keys.person():
        if pinned.wanted():
            printer.pin(partial(_progress, client, number))
        show.hint("Ctrl-C stops the job, d leaves it running")
    try:
        with keys.leaving():
            view = _until_end(client, number, printer)
    except keys.Leave:
        show.say(f"left; job {number} goes on")
        _goes_on(number)
        return 0
    except _LeftStopping:
        show.say(f"left; the job is still stopping: afield logs {number} -f")
        return int(Exit.STOPPED)
    home(client, view, quiet)
    if not quiet or view["outcome"] == "setup_failed":
        show.say("\n".join([*quoted(view), end_line(view), *ends.table(view, printer.output.last_line)]))
    if shown.as_json:
        show.as_json({"schema": 1, "job": view, "source": _source(view)}, context.fields(shown.as_json))
    return exit_status(view)


def _progress(client: Any, number: int) -> Mapping[str, Any] | None:
    """What the job's first process said last of how far it is."""
    from afield.sdk.said import said

    return next(iter(said(client, number, "progress/0", 0)[-1:]), None)


class _LeftStopping(Exception):
    """A second Ctrl-C, or the key, while the job was stopping."""


def _until_end(client: Any, number: int, printer: Printer) -> dict[str, Any]:
    """Follow to the end. The first Ctrl-C asks the job to stop, a second leaves at once."""
    cursors: dict[str, int] = {}
    stopping = False
    while True:
        try:
            return follow(client.follow(number, cursors), printer)
        except (KeyboardInterrupt, keys.Leave) as asked:
            if stopping:
                raise _LeftStopping from None
            if isinstance(asked, keys.Leave):
                raise
            stopping = True
            show.say("stopping the job; Ctrl-C again leaves at once")
            for node in client.stop(number)["silent"]:
                show.say(f"{node} does not answer; the job is stopped when it does")


def _source(view: dict[str, Any]) -> str:
    return "job" if view["outcome"] in ("succeeded", "failed") else "afield"
