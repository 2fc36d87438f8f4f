"""`afield pull`: bring a job's results home, or any files of nodes and jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from afield.cli import context, show
from afield.cli.places import Progress, Where, each, label, named, resolve, unread, where_options
from afield.errors import UsageError

View = dict[str, Any]


@click.command(name="pull", short_help="bring a job's results, or files of nodes, home")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Results: not to outputs/JOB.")
@click.option("--replace", is_flag=True, help="A file that is here and differs gives way; else it is moved aside.")
@where_options
@context.json_option
@click.argument("words", nargs=-1, required=True, metavar="JOB | PLACE... [DEST]")
def command(words: tuple[str, ...], output: Path | None, replace: bool, where: Where, as_json: str | None) -> int:
    """Bring what a job left in its outputs folder to outputs/JOB/ in the workspace; or files from places to DEST.

    What is here already is not brought again; after a cut the same command goes on. A file that cannot be read is
    named, the rest is brought, and the exit code is 1. Of several workers or nodes each has a folder of its own, wN or
    the node's name: in DEST where that exists, else beside it with DEST in it.

    \b
      afield pull 3                            job 3's results
      afield pull box1:data/eval.json          to the folder here
      afield pull 12:keep/last.pt model.pt     under that name
      afield pull -w 2,3 12:keep/log.txt out   w2/out and w3/out
      afield pull --all shared:stats .         box1/stats, box2/stats, ...
    """
    from afield.sdk.places import is_place

    if len(words) == 1 and not is_place(words[0].removeprefix("job:")):
        return _results(words[0], output, as_json)
    if output is not None:
        raise UsageError("-o is for the results of a job", hints=["say where files go as the last word"])
    *sources, last = words
    if is_place(last):
        sources, last = list(words), "."
    if not sources or not all(is_place(word) for word in sources):
        raise UsageError("what is pulled lies on a node", hints=["afield pull box1:data/x .", "afield help places"])
    return _files(sources, last, (where, replace), as_json)


def _files(sources: list[str], destination: str, how: tuple[Where, bool], as_json: str | None) -> int:
    from afield.sdk.bring import bring
    from afield.sdk.places import parse

    client = context.client()
    progress = Progress("pull")
    brought: list[Any] = []
    closed: list[tuple[str, str]] = []
    status = 0
    try:
        for word in sources:
            wanted = parse(word)
            places = resolve(client, wanted, how[0], tools=True)
            several = destination.endswith("/") or len(sources) > 1
            tags = {p["worker"]: _tag(places, p, wanted) for p in places}
            goals = {p["worker"]: _goal(p, Path(destination), several, tags[p["worker"]], how[1]) for p in places}

            def one(place: View, tags: dict[int, str] = tags, goals: dict[int, Any] = goals) -> None:
                tag, goal = tags[place["worker"]], goals[place["worker"]]
                came = bring(client, place, goal, progress.meter)
                came.name = goal.rename
                brought.append(came)
                closed.extend((f"{tag}/{path}" if tag else path, why) for path, why in came.closed)

            status = max(status, each(places, one))
    finally:
        progress.close()
    _tell(brought, progress.seconds, as_json)
    return max(status, unread(closed, "on the node", quiet=bool(as_json)))


def _tag(places: list[View], place: View, wanted: Any) -> str:
    return label(place, job=wanted.job is not None) if len(places) > 1 else ""


def _goal(place: View, destination: Path, within: bool, tag: str, replace: bool) -> Any:
    """Where one place goes, as cp; of several, DEST/TAG/NAME, or TAG/DEST where DEST is not there yet."""
    from afield.sdk.bring import Goal

    if within or destination.is_dir():
        folder, name = destination / tag, place.get("path", "").rpartition("/")[2]
    else:
        folder, name = destination.parent / tag, destination.name
    if place.get("kind") == "dir":
        return Goal(folder / name, replace=replace)
    return Goal(folder, rename=name, replace=replace)


def _tell(brought: list[Any], seconds: float, as_json: str | None) -> None:
    if as_json:
        rows = [{"folder": str(b.folder), **_row(b)} for b in brought]
        show.as_json({"schema": 1, "pulled": rows}, context.fields(as_json))
        return
    for b in brought:
        _refused(b)
        show.say(f"✓ pull {_counts(b)} → {show.safe(b.shown)}, {show.duration(seconds)}")


def _refused(brought: Any) -> None:
    for name in brought.refused:
        show.say(f"left out: {show.safe(name)} (it leads out of the folder, is no file, or is gone)")


def _row(brought: Any) -> View:
    counts = {name: getattr(brought, name) for name in ("files", "bytes", "kept", "refused")}
    return {**counts, "closed": named(brought.closed)}


def _counts(brought: Any) -> str:
    kept = f"{brought.kept} {'was' if brought.kept == 1 else 'were'} here" if brought.kept else ""
    new = f"{show.files(brought.files)}, {show.size(brought.bytes)}" if brought.files else "nothing new"
    return ", ".join(part for part in (new, kept) if part)


def _results(word: str, output: Path | None, as_json: str | None) -> int:
    from afield.sdk.results import pull

    client = context.client()
    view = client.job(context.number(client, context.JOB.convert(word, None, None)))
    brought = pull(client, view, output)
    if as_json:
        show.as_json({"schema": 1, "folder": str(brought.folder), **_row(brought)}, context.fields(as_json))
        return unread(brought.closed, "on the node", quiet=True)
    _refused(brought)
    if brought.files or brought.kept:
        print(brought.folder)
        show.say(_counts(brought))
    elif not brought.closed:
        show.say(f"job {view['number']} left no files in its outputs folder")
    return unread(brought.closed, "on the node")
