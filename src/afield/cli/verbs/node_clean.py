"""`afield node clean`: room back on a node, or no trace of afield left there."""

from __future__ import annotations

import sys
from typing import Any

import click

from afield.cli import context, show
from afield.errors import UsageError


@click.command(name="clean", short_help="remove what afield keeps on a node, or every trace")
@click.option("--all", "every", is_flag=True, help="Leave no trace there, and forget the node.")
@click.option("--force", is_flag=True, help="With --all: also results that are not home yet. They are lost.")
@click.option("--dry-run", is_flag=True, help="Say what is there; remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@context.json_option
@click.argument("name")
def clean(name: str, as_json: str | None, dry_run: bool, yes: bool, **how: bool) -> None:
    """Remove ended runs, code and environments that are kept on a node for speed; jobs bring them again.

    With --all every trace goes: run folders, data, the runner and its keeper. Refused while jobs run there.

    \b
      afield node clean box1
      afield node clean box1 --all
    """
    client = context.client()
    if dry_run or (how["every"] and not yes):
        there = client.clean_node(name, **how, act=False)
        if dry_run:
            _there(there, as_json)
            return
        _ask(name, there)
    done = client.clean_node(name, **how)
    if as_json:
        show.as_json(done, context.fields(as_json))
        return
    print(show.safe(f"{name}: removed {_words(done)}"))
    for place in done["left"]:
        whose = "uv's own store of packages" if place.endswith("uv") else "it could not be removed"
        show.say(show.safe(f"left there: {place}, {whose}"))
    if how["every"]:
        if done["others"]:
            show.say(f"left there: what {_count(len(done['others']), 'other store')} of your account keeps")
        show.say(f"{show.safe(name)} is forgotten")


def _ask(name: str, there: dict[str, Any]) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"cleaning all of {name} is not done unasked",
            why=_what(there),
            hints=[f"afield node clean {name} --all -y"],
        )
    show.say(show.safe(f"{name} has {_what(there)}"))
    if not click.confirm("Remove all of it?", err=True):
        raise UsageError("nothing was removed")


def _there(there: dict[str, Any], as_json: str | None) -> None:
    if as_json:
        show.as_json(there, context.fields(as_json))
    else:
        print(show.safe(f"{there['node']} has {_what(there)}"))


def _what(there: dict[str, Any]) -> str:
    data = f", {show.size(there['data_bytes'])} of it your own data" if there["data_bytes"] else ""
    return (
        f"{_count(there['runs'], 'run folder')}, {show.size(there['bytes'])} in {' and '.join(there['places'])}{data}"
    )


def _words(done: dict[str, Any]) -> str:
    kinds = (("runs", "run folder"), ("trees", "copy of code"), ("environments", "environment"))
    counts = [_count(done[kind], word) for kind, word in kinds if done[kind]]
    return f"{', '.join([*counts, '']) if counts else ''}{show.size(done['bytes'])}"


def _count(number: int, word: str) -> str:
    plural = {"copy of code": "copies of code"}.get(word, f"{word}s")
    return f"{number} {word if number == 1 else plural}"
