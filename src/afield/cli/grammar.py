"""What can be said on the command line, as plain data for completion: commands, options, kinds of values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from afield.cli.app import Lazy, root
from afield.cli.context import JobTarget
from afield.cli.table import COMMANDS
from afield.config import KEYS

OPTIONS = {"node": "node", "secrets": "secret", "continues": "job", "outputs": "files", "file": "files"}
ARGUMENTS = {
    "node show": "node",
    "node set": "node",
    "node login": "node",
    "node clean": "node",
    "node rm": "node",
    "shell": "node",
    "doctor": "node",
    "secret set": "secret",
    "secret rm": "secret",
    "ls": "place",
    "cat": "place",
    "push": "place",
    "pull": "place",
    "run": "files",
    "exec": "files",
    "bundle": "files",
    "help": f"choice:{','.join(COMMANDS)}",
}
"""What an argument is where its type does not say it."""

_CHOICES = {key.name: key.choices for key in KEYS if key.choices}


def grammar() -> dict[str, Any]:
    """Each command by its words, such as `node ls`; `""` is the root."""
    return dict(_walk(root, ""))


def _walk(command: click.Command, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(command, Lazy):
        yield path, {"commands": {name: entry.line for name, entry in command.table.items()}}
        context = click.Context(command)
        for name in command.table:
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _walk(inner, f"{path} {name}".strip())
        return
    options: dict[str, list[str]] = {"--help": ["flag", "Show this message and exit."]}
    argument = ARGUMENTS.get(path, "")
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            for word in param.opts + param.secondary_opts:
                options[word] = [_kind(param), (param.help or "").partition(".")[0]]
        elif isinstance(param, click.Argument) and isinstance(param.type, JobTarget):
            argument = "job"
        elif isinstance(param, click.Argument) and isinstance(param.type, click.Choice):
            argument = f"choice:{','.join(map(str, param.type.choices))}"
    interspersed = command.context_settings.get("allow_interspersed_args", True)
    yield path, {"options": options, "argument": argument, "interspersed": interspersed}


def _kind(param: click.Option) -> str:
    """`flag` takes no value (or needs none), "" a value that nobody can guess."""
    name = param.name or ""
    if param.is_flag or param.count or name == "as_json":
        return "flag"
    if isinstance(param.type, click.Choice):
        return f"choice:{','.join(map(str, param.type.choices))}"
    if name in _CHOICES:
        return f"choice:{','.join(_CHOICES[name])}"
    return "job" if isinstance(param.type, JobTarget) else OPTIONS.get(name, "")
