"""`afield config`: settings and where each comes from."""

from __future__ import annotations

import click

from afield.cli import context, show


@click.command(name="config", short_help="show settings")
@context.json_option
def command(as_json: str | None) -> None:
    """Show every setting with its value and where it comes from.

    \b
      afield config
    """
    from afield.sdk.submit import settings

    rows = settings()
    if as_json:
        told = [dict(zip(("key", "value", "origin"), row, strict=True)) for row in rows]
        show.as_json({"schema": 1, "settings": told}, context.fields(as_json))
        return
    show.table(rows, ["KEY", "VALUE", "FROM"])
