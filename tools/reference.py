"""Writes docs/reference/ from the code: commands, settings, HTTP API. `--check` only compares."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
from typing_extensions import is_typeddict

from afield.cli.helptext import Formatter
from afield.cli.table import COMMANDS, NODE, Entry
from afield.config import KEYS
from afield.server.app import api
from afield.server.desk import Desk
from afield.testing.answers import ANSWERS, Failed

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- made by tools/reference.py: change the code, then `make reference` -->\n\n"

PLAIN = {"str": "text", "int": "number", "float": "number", "bool": "true or false", "NoneType": "null"}

JSON_HEAD = """\
Each command of this page takes `--json`, or `--json FIELDS` for these fields of the things that the answer is about:
`afield ps --json number,phase`. Answers go to stdout, talk to stderr. An answer is one object in one line; `logs`
prints one for each line, `run` and `rerun` print theirs after the output of the program that they follow; `show` with
FIELDS prints these alone. Times are ISO 8601 in UTC, sizes are bytes, spans are seconds. `schema` is 1: fields are only
ever added, so a script must not mind one that it does not know. A command that fails prints [Failed](#failed) and
exits with `error.exit`. As Python types: `afield.testing.answers`.

"""


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with its text."""
    yield FOLDER / "commands.md", MADE + "# Commands\n\n" + "\n".join(_commands())
    yield FOLDER / "settings.md", MADE + "# Settings\n\n" + _settings()
    yield FOLDER / "json.md", MADE + "# JSON\n\n" + _json()
    yield FOLDER / "api.md", MADE + "# HTTP API\n\n" + _api()


def _json() -> str:
    """One section for each command, then each shape once."""
    shapes: dict[str, type] = {}
    rows = []
    for command, kinds in ANSWERS.items():
        rows.append(f"| `afield {command} --json` | {' or '.join(map(_type, kinds))} |\n")
        for kind in kinds:
            _gather(kind, shapes)
    _gather(Failed, shapes)
    return JSON_HEAD + "| command | prints |\n|---|---|\n" + "".join(rows) + "".join(map(_shape, shapes.values()))


def _gather(kind: type, shapes: dict[str, type]) -> None:
    """The shape and all that it is made of."""
    shapes.setdefault(kind.__name__, kind)
    for hint in get_type_hints(kind).values():
        for inner in _parts(hint):
            if is_typeddict(inner) and inner.__name__ not in shapes:
                _gather(inner, shapes)


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in get_args(hint):
        yield from _parts(inner)


def _shape(kind: type) -> str:
    rows = "".join(f"| `{name}` | {_type(hint)} |\n" for name, hint in get_type_hints(kind).items())
    return f"\n## {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n| field | type |\n|---|---|\n{rows}"


def _type(hint: Any) -> str:
    """A type as people say it."""
    if is_typeddict(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    inner = get_args(hint)
    if get_origin(hint) is list:
        return f"list of {_type(inner[0])}"
    if get_origin(hint) is dict:
        return f"object: {_type(inner[0])} to {_type(inner[1])}"
    if inner:
        return " or ".join(_type(part) for part in inner)
    return PLAIN[hint.__name__]


def _commands() -> Iterator[str]:
    for name, entry in COMMANDS.items():
        yield _help(f"afield {name}", entry)
    for name, entry in NODE.items():
        yield _help(f"afield node {name}", entry)


def _help(path: str, entry: Entry) -> str:
    command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    context.formatter_class = Formatter
    return f"## {path}\n\n```\n{command.get_help(context).rstrip()}\n```\n"


def _settings() -> str:
    rows = "".join(f"| `{key.name}` | {key.help.replace('|', '/')} |\n" for key in KEYS)
    return (
        "Keys of `afield.toml`, of `[tool.afield]` in `pyproject.toml`, and of the user's `config.toml`.\n"
        "The same names are options of `afield run` and keywords of `afield.run`.\n\n"
        "| key | meaning |\n|---|---|\n" + rows
    )


def _api() -> str:
    told = api(Desk()).openapi()
    rows = []
    for path, methods in sorted(told["paths"].items()):
        for method, what in sorted(methods.items()):
            line = (what.get("description") or what.get("summary") or "").splitlines()[0]
            rows.append(f"| `{method.upper()} {path}` | {line} |\n")
    return (
        "Served on a Unix socket that only the user can open, with a token.\n"
        "The whole description: `python -m afield.server --openapi`.\n\n"
        "| request | gives |\n|---|---|\n" + "".join(rows)
    )


def main(words: list[str]) -> int:
    """Write the pages, or with `--check` compare them; the exit status."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        print(f"{path.name} is not as the code is" if "--check" in words else f"wrote {path.name}")
        if "--check" not in words:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
