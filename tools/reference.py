"""Writes docs/reference/ from the code: commands, settings, HTTP API. `--check` only compares."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from afield.cli.table import COMMANDS, NODE, Entry
from afield.config import KEYS
from afield.server.app import api
from afield.server.desk import Desk

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- made by tools/reference.py: change the code, then `make reference` -->\n\n"


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with its text."""
    yield FOLDER / "commands.md", MADE + "# Commands\n\n" + "\n".join(_commands())
    yield FOLDER / "settings.md", MADE + "# Settings\n\n" + _settings()
    yield FOLDER / "api.md", MADE + "# HTTP API\n\n" + _api()


def _commands() -> Iterator[str]:
    for name, entry in COMMANDS.items():
        yield _help(f"afield {name}", entry)
    for name, entry in NODE.items():
        yield _help(f"afield node {name}", entry)


def _help(path: str, entry: Entry) -> str:
    command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
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
