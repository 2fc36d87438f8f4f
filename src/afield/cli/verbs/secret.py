"""`afield secret …`: values that jobs get as variables and that stand in no record."""

from __future__ import annotations

import sys

import click

from afield.cli import context, show
from afield.cli.app import SETTINGS, Lazy
from afield.cli.table import SECRET
from afield.errors import UsageError

command = Lazy(
    SECRET,
    name="secret",
    help="Values that jobs get as variables: set, list and forget them.\n\n"
    "\b\n  afield secret set API_KEY\n  afield run --secret API_KEY train.py",
    context_settings=SETTINGS,
    no_args_is_help=True,
)


@click.command(name="set", short_help="keep a value, asked here or read from a pipe")
@click.argument("name")
def set_(name: str) -> None:
    """Keep a value under the name of the variable that jobs get it as. It is never given on the command line.

    \b
      afield secret set API_KEY                asks for it, unseen
      pass show api | afield secret set API_KEY
    """
    if "=" in name:
        raise UsageError(
            "a value on the command line is no secret",
            why="everybody on this machine can read command lines, and the shell keeps them",
            hints=[f"afield secret set {show.safe(name.partition('=')[0])}"],
        )
    context.client().set_secret(name, _value(name))
    show.say(f"{name} is kept")
    show.hint(f"give it to a job: afield run --secret {name} train.py")


def _value(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(name, hide_input=True, err=True))
    data = sys.stdin.buffer.read()
    value = data.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if not value:
        raise UsageError(
            f"no value for {show.safe(name)} came in",
            why="standard input was empty",
            hints=[f"pass show api | afield secret set {show.safe(name)}", "or on a terminal, where it is asked for"],
        )
    return value


@click.command(name="ls", short_help="the names")
@context.json_option
def ls(as_json: str | None) -> None:
    """List the names, and when each was set. Values are shown nowhere.

    \b
      afield secret ls
    """
    found = context.client().secrets()
    if as_json:
        show.as_json({"schema": 1, "secrets": found}, context.fields(as_json))
        return
    show.table([[secret["name"], show.ago(secret["set_at"])] for secret in found], ["NAME", "SET"])


@click.command(name="rm", short_help="forget a value")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def rm(names: tuple[str, ...]) -> None:
    """Forget values. Jobs that wait with one of them fail when they start.

    \b
      afield secret rm API_KEY
    """
    client = context.client()
    for name in names:
        client.remove_secret(name)
        show.say(f"{name} is forgotten")
