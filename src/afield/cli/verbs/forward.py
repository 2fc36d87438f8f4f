"""`afield forward`: a port of a node on this machine, until Ctrl-C."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, show
from afield.cli.forwarding import Talk
from afield.errors import UsageError

if TYPE_CHECKING:
    from afield.sdk.client import Client
    from afield.sdk.forward import Forward

_JOB = re.compile(r"(?:job:)?(\d+|@last)(?::(\d+))?")


@click.command(name="forward", short_help="a node's port on this machine")
@context.json_option
@click.argument("target")
@click.argument("ports", nargs=-1, metavar="[[LOCAL:]PORT...]")
def command(target: str, ports: tuple[str, ...], as_json: str | None) -> None:
    """Bring ports of a node, or of the node of a job, to this machine until Ctrl-C.

    \b
      afield forward 12 6006            a port of job 12's node, under its number
      afield forward 12:3 8080:6006     of process 3; LOCAL:PORT, as in ssh
      afield forward node:box1 0:5432   of a node, as any free port
      afield forward 12                 what the job offers: notebook, TensorBoard

    A port that is taken here gives way to a free one, unless LOCAL names it. Only this machine reaches it.
    """
    from afield.sdk.forward import Forward, parse

    client = context.client()
    wanted = _target(client, target)
    ways = [parse(word) for word in ports]
    if len({way.place for way in ways}) < len(ways):
        raise UsageError(
            "the same port is named twice", hints=[f"afield forward {target} {' '.join(dict.fromkeys(ports))}"]
        )
    offered = {}
    if not ways:
        from afield.sdk.offer import offers

        offered = offers(client, wanted, target)
        ways = [offer.way for offer in offered.values()]
    talk = Talk(context.fields(as_json) if as_json else None, offered)
    attempt = max((offer.attempt for offer in offered.values()), default=0)
    with Forward(client, wanted, ways, attempt) as forward:
        try:
            while (event := forward.next()) is not None:
                talk.tell(event)
                if event["on"] == "moved":
                    _follow(client, wanted, forward, talk)
        except KeyboardInterrupt:
            show.say("closed")


def _follow(client: Client, wanted: dict[str, Any], forward: Forward, talk: Talk) -> None:
    """Lead a page's forward to what the next attempt offers, once it does."""
    from afield.sdk.offer import renewed

    found = renewed(client, wanted["job"], wanted["process"])
    if found is not None:
        talk.renewed({found.way.place: found})
        forward.move(found.way, found.attempt)


def _target(client: Client, text: str) -> dict[str, Any]:
    found = _JOB.fullmatch(text)
    if found:
        number = context.number(client, found[1] if found[1] == "@last" else int(found[1]))
        return {"job": number, "process": int(found[2] or 0)}
    if re.fullmatch(r"[\d:]*", text):
        raise UsageError(f"{text!r} names nothing to forward to", hints=["12, 12:3 (process 3), @last, node:box1"])
    return {"node": client.node(text.removeprefix("node:"))["name"]}
