"""`afield help`: help on a command or a topic."""

from __future__ import annotations

import click

from afield.cli.app import root, unknown_command
from afield.cli.topics import ALSO, TOPICS
from afield.errors import AfieldError


def _unknown(word: str) -> AfieldError:
    error = unknown_command(word, [*root.table, *TOPICS, *ALSO], "afield help")
    error.why = f"topics: {', '.join(TOPICS)}"
    return error


@click.command(name="help", short_help="help on a command or a topic")
@click.argument("words", nargs=-1)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show help on a command, or on a topic. Without a word it lists both.

    \b
      afield help run
      afield help exit-codes
      afield help topics         the list of topics
    """
    parent = ctx.find_root()
    if not words:
        click.echo(f"{parent.get_help()}\n\nTopics:\n{_topics()}")
        return
    if words == ("topics",):
        click.echo(_topics())
        return
    topic = ALSO.get(words[0], words[0])
    if len(words) == 1 and topic in TOPICS and words[0] not in root.table:
        click.echo(TOPICS[topic], nl=False)
        return
    found: click.Command = root
    for word in words:
        inner = found.get_command(parent, word) if isinstance(found, click.Group) else None
        if inner is None:
            raise _unknown(word)
        parent = click.Context(inner, info_name=word, parent=parent)
        found = inner
    click.echo(found.get_help(parent))


def _topics() -> str:
    """Each topic with its first line."""
    return "\n".join(f"  {name:<12}  {text.splitlines()[0]}" for name, text in TOPICS.items())
