"""Brings a job's results home: nothing that lies there is lost, nothing is written outside the folder."""

from __future__ import annotations

import os
from _thread import get_ident
from contextlib import suppress
from pathlib import Path
from typing import Any

from afield.errors import NotFound, from_dict
from afield.sdk.bring import Goal, bring
from afield.sdk.client import Client
from afield.sdk.meter import Meter
from afield.transport.landing import Brought

View = dict[str, Any]

OUTPUTS = "outputs"
LATEST = "latest"


def pull(client: Client, view: View, destination: str | Path | None = None) -> Brought:
    """Bring what a job left in its outputs folder to `outputs/JOB/` in its workspace, or to `destination`.

    A file that is here with the same size and time is kept; another one of that name is moved aside as `NAME.~1~`.
    Raises NotFound when the job has no results, Unreachable when a node that holds them does not answer.
    """
    folder = Path(destination).absolute() if destination is not None else home(view)
    brought = Brought(folder)
    places = client.places({"job": view["number"], "workers": None, "path": OUTPUTS, "tools": True})
    for place in places:
        check(place)
        if place["kind"] == "none":
            raise NotFound(f"the results of job {view['number']} are no longer on {place['node']}")
        prefix = f"w{place['worker']}" if len(places) > 1 else ""
        brought.add(bring(client, place, Goal(folder, prefix=prefix), Meter()))
    if destination is None and brought.files + brought.kept:
        _point_latest(folder)
    return brought


def check(place: View) -> None:
    """Raises what the node of a place said instead of an answer."""
    if "error" in place:
        raise from_dict(place["error"])


def home(view: View) -> Path:
    """Where a job's results belong. Raises NotFound when its workspace is no longer there."""
    code = view["snapshot"]
    root = Path(code["root"]) if code else Path.cwd()
    if not root.is_dir():
        raise NotFound(f"the workspace {root} of job {view['number']} is not here", hints=["afield pull -o FOLDER"])
    return root / OUTPUTS / str(view["number"])


def _keep_out_of_git(outputs: Path) -> None:
    """With the first results comes a `.gitignore` of their own, so that no commit takes them in unasked."""
    with suppress(FileExistsError), (outputs / ".gitignore").open("x", encoding="utf-8") as file:
        file.write("*\n")


def _point_latest(folder: Path) -> None:
    """Let `outputs/latest` lead to the newest job that came home; something else of that name is left alone."""
    link = folder.parent / LATEST
    if link.is_symlink():
        now = os.readlink(link)
        if now.isdigit() and int(now) >= int(folder.name):
            return
    elif link.exists():
        return
    else:
        _keep_out_of_git(folder.parent)
    made = folder.parent / f".{LATEST}.{os.getpid()}.{get_ident()}"
    made.unlink(missing_ok=True)
    made.symlink_to(folder.name)
    made.replace(link)
