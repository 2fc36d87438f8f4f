"""`afield fetch`: download on the node, where the data is wanted."""

from __future__ import annotations

import re
from typing import Any

import click

from afield.cli import context, show
from afield.cli.places import Progress, Where, each, resolve, where_options
from afield.errors import UsageError

View = dict[str, Any]


@click.command(name="fetch", short_help="download on a node")
@click.option("--to", "place", default="home:data", metavar="PLACE", help="The folder; data in your area if not given.")
@click.option("--sha256", default="", metavar="HEX", help="What the one file must be.")
@where_options
@context.json_option
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
def command(urls: tuple[str, ...], place: str, sha256: str, where: Where, as_json: str | None) -> int:
    """Download files on a node into data/ of your area there (a job finds it as USER_DIR/data). After a cut the same
    command goes on where it was; what is there with the right size or sum is not fetched again.

    \b
      afield fetch https://example.org/train.tar -n box1
      afield fetch https://example.org/a.json --to box1:/scratch --sha256 9f8…
    """
    from afield.sdk.places import parse

    _check(urls, sha256)
    client = context.client()
    places = resolve(client, parse(place), where)
    progress = Progress("fetch")
    done: list[View] = []

    def one(at: View) -> None:
        for url in urls:
            done.append(_fetch(client, at, (url, sha256), progress))

    try:
        status = each(places, one)
    finally:
        progress.close()
    if as_json:
        show.as_json({"schema": 1, "fetched": done}, context.fields(as_json))
        return status
    for row in done:
        there = ", there already" if row["there"] else ""
        show.say(f"✓ fetch {show.size(row['size'])}{there} → {row['node']}:{show.safe(row['path'])}")
    return status


def _check(urls: tuple[str, ...], sha256: str) -> None:
    if sha256 and len(urls) > 1:
        raise UsageError("--sha256 is for one file", hints=["fetch them one by one"])
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256!r} is no SHA-256", why="it has 64 hexadecimal digits")
    for url in urls:
        if not _is_address(url):
            raise UsageError(f"{url!r} is not an address to download from", hints=["https://…"])


def _is_address(url: str) -> bool:
    from urllib.parse import urlsplit  # loads what only this verb needs

    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _fetch(client: Any, at: View, wanted: tuple[str, str], progress: Progress) -> View:
    told, known = 0, False
    for head, _ in client.fetch(at["node"], at["path"], *wanted):
        if head["on"] == "progress":
            if not known and head["total"]:
                progress.meter.expect(1, head["total"])
                known = True
            progress.meter.add(head["done"] - told)
            told = head["done"]
        elif head["on"] == "fetched":
            return {"node": at["node"], "url": wanted[0], **{k: v for k, v in head.items() if k != "on"}}
    raise AssertionError("a stream that ends without its last word raises")
