"""`afield ls`: what lies in a place of a node or a job."""

from __future__ import annotations

import os
import stat
import time
from typing import Any

import click

from afield.cli import context, show
from afield.cli.places import Where, each, label, resolve, where_options
from afield.errors import NotFound
from afield.runner.blocks import PART

View = dict[str, Any]


@click.command(name="ls", short_help="list files of a node or a job")
@click.option("-R", "--deep", is_flag=True, help="All below it.")
@where_options
@context.json_option
@click.argument("place", metavar="PLACE")
def command(place: str, deep: bool, where: Where, as_json: str | None) -> int:
    """List what lies in an area or folder of a node, or in the folder of a job.

    \b
      afield ls box1:              your area on box1
      afield ls box1:/scratch      a folder of the node
      afield ls 12:outputs         what job 12 left, or has written so far
      afield ls --all shared:data  on every node
    """
    from afield.sdk.places import parse

    client = context.client()
    wanted = parse(place)
    found = resolve(client, wanted, where)
    rows: dict[int, list[View]] = {}

    def one(at: View) -> None:
        area = wanted.path == "" and at["kind"] == "none"
        rows[at["worker"]] = [] if area else _entries(client, at, deep=deep)

    status = each(found, one)
    if as_json:
        shown = [{"node": at["node"], **row} for at in found for row in rows.get(at["worker"], [])]
        folders = [{"node": at["node"], "path": at.get("path")} for at in found]
        show.as_json({"schema": 1, "places": folders, "entries": shown}, context.fields(as_json))
        return status
    for at in found:
        head = [label(at, job=wanted.job is not None)] if len(found) > 1 else []
        for row in rows.get(at["worker"], []):
            print("  ".join([*head, _line(row)]))
    return status


def _entries(client: Any, place: View, *, deep: bool) -> list[View]:
    if place["kind"] == "none":
        raise NotFound(f"there is no {place['path']} on {place['node']}")
    if place["kind"] != "dir":
        name = os.path.basename(place["path"])
        return [_entry([name, *(place[k] for k in ("kind", "size", "mtime_ns", "mode")), None])]
    rows = client.entries(place["node"], place["path"], deep=deep)
    return [_entry(row) for row in rows if not row[0].endswith(os.fsdecode(PART))]


def _entry(row: list[Any]) -> View:
    return dict(zip(("path", "kind", "size", "mtime_ns", "mode", "link"), row, strict=True))


def _line(row: View) -> str:
    kind = {"dir": stat.S_IFDIR, "closed": stat.S_IFDIR, "link": stat.S_IFLNK}.get(row["kind"], stat.S_IFREG)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["mtime_ns"] / 1e9))
    name = show.safe(row["path"]) + ("/" if row["kind"] in ("dir", "closed") else "")
    target = f" -> {show.safe(row['link'])}" if row["link"] is not None else ""
    return f"{stat.filemode(kind | row['mode'])}  {row['size']:>14,}  {when}  {name}{target}"
