"""`afield config`: settings and where each comes from."""

from __future__ import annotations

import click

from afield.cli import context, show
from afield.errors import UsageError


@click.command(name="config", short_help="show settings")
@click.option("--origin/--no-origin", default=True, help="Whether to show where each comes from.")
@click.option("--file", default="", metavar="FILE", help="Settings from this file, not from afield.toml.")
@context.json_option
@click.argument("words", nargs=-1, metavar="[show] [KEY]...")
def command(words: tuple[str, ...], origin: bool, file: str, as_json: str | None) -> None:
    """Show every setting, or these, with its value and where it comes from. See `afield help settings`.

    \b
      afield config
      afield config show time env.SEED
    """
    from afield.sdk.submit import settings

    rows = _chosen(settings(file), words[1:] if words[:1] == ("show",) else words)
    if as_json:
        told = [dict(zip(("key", "value", "origin"), row, strict=True)) for row in rows]
        show.as_json({"schema": 1, "settings": told}, context.fields(as_json))
        return
    shown = 3 if origin else 2
    show.table([row[:shown] for row in rows], ["KEY", "VALUE", "FROM"][:shown])


def _chosen(rows: list[tuple[str, str, str]], keys: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """The rows of these keys; `env` is all variables."""
    from afield.config.keys import BY_NAME

    for key in keys:
        if key not in BY_NAME and key not in [row[0] for row in rows]:
            import difflib  # only when somebody mistyped

            near = difflib.get_close_matches(key, BY_NAME, n=3)
            hints = [f"afield config show {name}" for name in near] or ["afield config"]
            raise UsageError(f"there is no setting {show.safe(key)}", hints=hints)
    return [row for row in rows if not keys or row[0] in keys or row[0].partition(".")[0] in keys]
