"""The option `--json [FIELDS]` of every command: the word behind it is FIELDS only when it can be."""

from __future__ import annotations

import re
from typing import Any

import click

FIELDS = re.compile(r"[a-z][a-z0-9_]*(,[a-z][a-z0-9_]*)*")


class JsonOption(click.Option):
    """`afield show --json 12` means job 12: click alone would take it for the fields and miss the job."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """As click does, and then look at what the option was given."""
        super().add_to_parser(parser, ctx)
        least = sum(1 for p in ctx.command.params if isinstance(p, click.Argument) and p.required)
        option = parser._long_opt[self.opts[0]]
        take = option.process

        def process(value: Any, state: Any) -> None:
            words = len(state.largs) + sum(not word.startswith("-") for word in state.rargs)
            if isinstance(value, str) and value != "*" and (words < least or not FIELDS.fullmatch(value)):
                state.rargs.insert(0, value)
                value = "*"
            take(value, state)

        option.process = process


option = click.option(
    "--json",
    "as_json",
    cls=JsonOption,
    is_flag=False,
    flag_value="*",
    default=None,
    metavar="[FIELDS]",
    help="JSON, whole or these fields.",
)
