"""`afield push`: bring files and folders to nodes."""

from __future__ import annotations

from typing import Any

import click

from afield.cli import context, show
from afield.cli.places import Progress, Where, each, named, resolve, unread, where_options


@click.command(name="push", short_help="bring files and folders to nodes")
@where_options
@context.json_option
@click.argument("words", nargs=-1, required=True, metavar="SRC... [NODE:]DEST")
def command(words: tuple[str, ...], where: Where, as_json: str | None) -> int:
    """Bring files and folders to a node. What is there already is not sent; after a cut the same command goes on.
    A file that cannot be read is named, the rest is brought, and the exit code is 1.

    \b
      afield push data/train.bin box1:data/      your area there (USER_DIR)
      afield push 'a b.txt' runs box1:/scratch/  a folder of the node
      afield push vocab.json --all shared:       the area of all (SHARED_DIR)
      afield push extra.yaml 12:keep/            the folder of job 12

    DEST is read as by cp. Links are kept when they stay inside; see `afield help places`.
    """
    from afield.sdk.places import is_place, parse
    from afield.sdk.push import push, read

    if len(words) < 2:
        raise click.UsageError("Missing argument 'DEST'.", click.get_current_context())
    *sources, last = words
    wanted = parse(last if is_place(last) else f"home:{last}")
    found = [read(source) for source in sources]
    client = context.client()
    places = resolve(client, wanted, where, tools=True)
    progress = Progress("push")
    done: list[Any] = []
    try:
        status = each(places, lambda place: done.append(push(client, found, place, wanted.path, progress.meter)))
    finally:
        progress.close()
    _tell(done, wanted, progress.seconds, as_json)
    closed = [one for source in found for one in source.closed]
    return max(status, unread(closed, "here", quiet=bool(as_json)))


def _tell(done: list[Any], wanted: Any, seconds: float, as_json: str | None) -> None:
    from dataclasses import asdict

    done.sort(key=lambda pushed: pushed.node)
    if as_json:
        rows = [{**asdict(pushed), "closed": named(pushed.closed)} for pushed in done]
        show.as_json({"schema": 1, "pushed": rows}, context.fields(as_json))
        return
    for pushed in done:
        for name in pushed.skipped:
            show.say(f"left out: {show.safe(name)} (no file, folder or link)")
        kept = f", {pushed.kept:,} there already" if pushed.kept else ""
        where = str(wanted if wanted.job is not None else wanted.on(pushed.node))
        parts = [f"{show.files(pushed.files)}, {show.size(pushed.bytes)}"] if pushed.files else []
        parts += [f"mode of {show.files(pushed.modes)}"] if pushed.modes else []
        new = ", ".join(parts) or "nothing new"
        show.say(f"✓ push {new}{kept} → {show.safe(where)}, {show.duration(seconds)}")
