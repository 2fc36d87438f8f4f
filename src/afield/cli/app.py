"""The root command: lazily loaded verbs, hints for mistyped words; here errors become text and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Mapping

import click

from afield.cli import show
from afield.cli.helptext import Formatter
from afield.cli.table import COMMANDS, OTHER_WORDS, Entry
from afield.errors import AfieldError, Exit, Fault, UsageError

GROUPS = ("Run", "Look", "Data", "Machines", "Set up")
READER_LEFT = 141
"""128 + SIGPIPE, as a shell shows it."""
GO_ON = ("push", "pull", "fetch", "sync")
"""What is half done when these are interrupted is used by the next call."""
click.Context.formatter_class = Formatter
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Lazy(click.Group):
    """A group whose commands are loaded when they are called."""

    def __init__(self, table: Mapping[str, Entry], **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in self.table:
            raise unknown_command(word, list(self.table), ctx.command_path)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run it; when the reader of our output has left, say so as programs do (click alone would say 1)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _forget_reader()
            raise click.exceptions.Exit(READER_LEFT) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, in groups where the table has them."""
        for group in (*GROUPS, ""):
            rows = [(name, e.line) for name, e in self.table.items() if e.group == group]
            if rows:
                with formatter.section(group or "Commands"):
                    formatter.write_dl(rows)


def unknown_command(word: str, known: list[str], path: str) -> AfieldError:
    """The usage error for a word that is no command."""
    import difflib  # only when somebody mistyped

    if word in OTHER_WORDS and path == "afield":
        hints = [f"afield {OTHER_WORDS[word]}"]
    else:
        hints = [f"{path} {name}" for name in difflib.get_close_matches(word, known, n=3)]
    error = AfieldError(
        f"there is no command {show.safe(word)}",
        hints=hints or [path if path.endswith(" help") else f"{path} --help"],
        code="usage",
    )
    error.exit = Exit.USAGE
    return error


HELP = """Run your code on machines you do not sit at, and never lose a job.

\b
  afield run train.py --lr 3e-4         run here's code on any free node
  afield run -n box1 -d train.py        on a named node, and give the prompt back
  afield logs 3 -f                      follow job 3 until it ends
"""


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version  # costs 20 ms, only for --version

        click.echo(f"afield {version('afield')}")
        ctx.exit()


root = Lazy(
    COMMANDS,
    name="afield",
    help=HELP,
    context_settings=SETTINGS,
    epilog="Learn more: afield COMMAND --help, afield help (topics)",
    params=[
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
        )
    ],
    no_args_is_help=True,
)


def run(args: list[str]) -> int:
    """Run one command line; gives the exit status. Errors of ours are printed here and nowhere else."""
    try:
        status = root.main(args=args, prog_name="afield", standalone_mode=False)
        sys.stdout.flush()
        return int(status or 0)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0 if error.ctx.command is root else Exit.USAGE
    except click.UsageError as error:
        return _usage(error, args)
    except click.ClickException as error:
        return fail(AfieldError(error.format_message()), args)
    except AfieldError as error:
        return fail(error, args)
    except (click.Abort, KeyboardInterrupt):
        show.say("interrupted" + ("; the same command goes on where it was" if args[:1] and args[0] in GO_ON else ""))
        return Exit.STOPPED
    except BrokenPipeError:
        _forget_reader()
        return READER_LEFT
    except Exception as error:  # what nobody thought of: told as all else, and whole only to those who ask for it
        if os.environ.get("AFIELD_DEBUG"):
            raise
        return fail(_surprise(error), args)


def _stands() -> bool:
    """Whether the folder that one is in exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _surprise(error: Exception) -> AfieldError:
    """An error that is none of ours: the system's (a full disk, a closed folder), or a fault of afield."""
    if isinstance(error, FileNotFoundError) and not _stands():
        return UsageError("this folder is there no more", why="it was removed or moved", hints=["cd to another folder"])
    if isinstance(error, OSError):
        name = f": {error.filename}" if isinstance(error.filename, str) else ""
        return AfieldError("this machine's system refused", why=f"{error.strerror or error}{name}")
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    why = f"{type(error).__name__}: {error}{place}"
    return Fault("afield has a fault", why=why, hints=["AFIELD_DEBUG=1 afield …    shows all of it, for a report"])


def _forget_reader() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: click.UsageError, args: list[str]) -> int:
    path = error.ctx.command_path if error.ctx is not None else "afield"
    what, *near = re.split(r"\.? \(?(?=Did you mean )", error.format_message(), maxsplit=1)
    what = what.rstrip(".")
    hints = [n.rstrip(")")[:1].lower() + n.rstrip(")")[1:] for n in near]
    ours = AfieldError(what[:1].lower() + what[1:], hints=[*hints, f"{path} --help"], code="usage")
    ours.exit = Exit.USAGE
    return fail(ours, args)


def fail(error: AfieldError, args: list[str]) -> int:
    """Print an error of ours (as JSON when the command line asked for JSON) and give its exit status."""
    before = args[: args.index("--")] if "--" in args else args
    if any(a == "--json" or a.startswith("--json=") for a in before):
        click.echo(json.dumps({"schema": 1, "error": error.as_dict(), "source": "afield"}))
    else:
        click.echo(show.error_text(error), err=True)
    return int(error.exit)
