"""From a function and its arguments to submissions: what is sent, under which Python, in which code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from afield.config import Settings
from afield.environment.detect import Found, detect
from afield.environment.tree import Tree
from afield.errors import UsageError
from afield.folders import Folders
from afield.sdk import pickling
from afield.sdk.call import Call
from afield.sdk.client import submit_key
from afield.sdk.outcome import CALL
from afield.sdk.submit import BIG, NO_SYNC, SETUP_AGAIN, common, told
from afield.sdk.watcher import watcher
from afield.snapshot.attached import attach
from afield.snapshot.dirs import places, take_with
from afield.snapshot.take import find_root

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

BATCH = 500
"""So many calls are submitted at once, all or none."""

_MINOR = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")


def submit(
    function: Callable[..., Any], arguments: Sequence[Arguments], options: Mapping[str, Any], folder: str | Path | None
) -> list[Call[Any]]:
    """Submit a function once for each of these arguments; calls in the same order. Code is looked at once.

    Raises UsageError (its code `unpicklable` when something cannot be sent), NothingFits, SetupFailed.
    """
    watch = watcher()
    calls: list[Call[Any]] = []
    bodies = build(function, arguments, options, folder)
    for begin in range(0, len(bodies), BATCH):
        with watch.submitting():
            made = [Call[Any](watch.client, view) for view in watch.client.submit(bodies[begin : begin + BATCH])]
            for call in made:
                watch.add(call)
        calls += made
    return calls


def build(
    function: Callable[..., Any], arguments: Sequence[Arguments], options: Mapping[str, Any], folder: str | Path | None
) -> list[dict[str, Any]]:
    """Submissions as `Client.submit` takes them."""
    root, place = find_root(folder or Path.cwd())
    settings = told(root, options, folder)
    _check_python(settings)
    if options.get(NO_SYNC):
        raise UsageError("a function brings its own code", why="no_sync is for programs", hints=["leave no_sync out"])
    named = getattr(function, "__name__", type(function).__name__)
    packed = [pickling.pack_function(function, root), *(pickling.pack_arguments(*given) for given in arguments)]
    tree = Tree(root, places(settings.dirs, root))
    found = _environment(tree, place, settings)
    cache = Path(Folders().cache)
    snapshot = take_with(root, tree.dirs, cache=cache, folder=place, big=bool(options.get(BIG)))
    names = ["function", *["arguments"] * len(arguments)]
    first, *rest = attach(cache, snapshot.workspace, list(zip(names, packed, strict=True)))
    shared = common(settings, snapshot, again=bool(options.get(SETUP_AGAIN)))
    task = {**shared["task"], "argv": [*CALL, named], "environment": asdict(found.environment)}
    return [
        {
            **shared,
            "key": submit_key(),
            "name": settings.name or named,
            "task": {**task, "attached": [asdict(first), asdict(own)]},
        }
        for own in rest
    ]


def _check_python(settings: Settings) -> None:
    """Refuse, before anything is sent, a Python that could not load what this one pickles."""
    asked = _MINOR.fullmatch(settings.python)
    ours = pickling.python()
    if asked and f"{asked[1]}.{asked[2]}" != ours:
        raise UsageError(
            f"python = {settings.python}, and this is Python {ours}",
            why="a pickled function cannot cross minor versions of Python",
            hints=[f'python="{ours}"', f"submit from Python {settings.python}", "run a program instead: afield.run"],
        )


def _environment(tree: Tree, place: str, settings: Settings) -> Found:
    """As for a program, but an environment that is made gets our own minor version of Python."""
    found = detect(tree, place, CALL, python=settings.python, choice=settings.environment)
    if found.environment.key and not settings.python:
        found = detect(tree, place, CALL, python=pickling.python(), choice=settings.environment)
    return found
