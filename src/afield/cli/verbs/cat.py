"""`afield cat`: the bytes of a file of a node or a job."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from afield.cli import context
from afield.cli.places import Where, resolve, where_options
from afield.cli.terminal import Filter
from afield.errors import NotAllowed, NotFound, UsageError


@click.command(name="cat", short_help="write out a file of a node or a job")
@where_options
@click.argument("place", metavar="PLACE")
def command(place: str, where: Where) -> None:
    """Write a file of a node or a job to stdout, as it is (on a terminal, control characters are shown, not obeyed).

    \b
      afield cat 12:outputs/metrics.json
      afield cat box1:/var/log/driver.log | tail
    """
    from afield.sdk.places import parse

    client = context.client()
    found = resolve(client, parse(place), where)
    if len(found) != 1:
        raise UsageError("cat writes out one file", hints=["-w 0, or -n NODE"])
    _write(client, found[0])


def _write(client: Any, place: dict[str, Any]) -> None:
    if place["kind"] != "file":
        what = "no such file" if place["kind"] == "none" else "a folder" if place["kind"] == "dir" else "no plain file"
        raise NotFound(f"{place['path']} on {place['node']} is {what}", hints=[f"afield ls {place['node']}:"])
    top, name = os.path.split(place["path"])
    at, size, clean = 0, 0, Filter()
    for head, data in client.get(place["node"], top, [(name, 0)]):
        if head["on"] == "data":
            _zeros(head["offset"] - at)
            at = head["offset"] + len(data)
            _out(data, clean)
        elif head["on"] == "gone":
            trouble = NotAllowed if head.get("closed") else NotFound
            raise trouble(f"{place['path']} on {place['node']} cannot be read", why=head["why"])
        elif head["on"] == "file":
            size = head["size"]
    _zeros(size - at)
    sys.stdout.flush()


def _out(data: bytes, clean: Filter) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(clean.feed(data))
    else:
        sys.stdout.buffer.write(data)


def _zeros(count: int) -> None:
    """Holes are not sent; who reads them sees zeros."""
    while count > 0:
        sys.stdout.buffer.write(bytes(min(count, 1 << 20)))
        count -= 1 << 20
