"""From a command and options to submissions: settings, snapshot and environment, for the command line and for `run`."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from afield.config import Settings, load
from afield.environment.detect import Found, detect
from afield.environment.extra import add
from afield.environment.tree import Tree
from afield.errors import UsageError
from afield.folders import Folders
from afield.model.amount import about_bytes
from afield.model.ids import TreeHash
from afield.model.policy import Policy
from afield.model.request import Request, parse, parse_gpus, parse_need
from afield.model.task import Code, End, EnvironmentKind, Task
from afield.sdk.client import Client, submit_key
from afield.sdk.entry import check_script
from afield.sdk.programs import found_for, looked_at, program
from afield.snapshot.dirs import absolute, places, take_with
from afield.snapshot.take import Snapshot, find_root

FILE, BIG, NO_SYNC, NO_PREFLIGHT, SETUP_AGAIN = "file", "big", "no_sync", "no_preflight", "setup_again"
ONCE = (FILE, BIG, NO_SYNC, NO_PREFLIGHT, SETUP_AGAIN)
"""The options that are no settings: a file of settings in place of `afield.toml`; send more than 1 GB without asking;
take the code and the environment of the workspace's newest job; leave the preflight out; do the setup again."""

WITH = "with_"
"""Packages on top of what defines the environment: for verbs of ours that bring a program."""


@dataclass(frozen=True, slots=True)
class Built:
    """A submission as `Client.submit` takes it; `texts` says what is sent and built, `left_out` what is not sent.

    `notes` is what a person should know about the packages before the program fails on it.
    """

    body: dict[str, Any]
    texts: dict[str, str]
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def build(argv: Sequence[str], options: Mapping[str, Any], folder: str | Path | None = None) -> Built:
    """The submission of one command that runs in `folder` (default: here).

    `options` are settings by name, and those of ONCE. Raises UsageError; `big` is its code when too much would be sent.
    """
    return build_all([argv], options, folder)[0]


def build_all(
    commands: Sequence[Sequence[str]], options: Mapping[str, Any], folder: str | Path | None = None
) -> list[Built]:
    """Submissions of many commands with the same options; the code is looked at once."""
    root, place = find_root(folder or Path.cwd())
    settings = told(root, options, folder)
    if options.get(NO_SYNC):
        return _as_before(commands, settings, (root, place), again=bool(options.get(SETUP_AGAIN)))
    tree = Tree(root, places(settings.dirs, root))
    found = _environments(commands, settings, tree, place)
    for argv in commands:
        check_script(argv, root, place, may_come=bool(settings.setup))
    found = [add(one, options.get(WITH, ())) for one in found]
    snapshot = take_with(root, tree.dirs, cache=Path(Folders().cache), folder=place, big=bool(options.get(BIG)))
    shared = common(settings, snapshot, again=bool(options.get(SETUP_AGAIN)))
    built = []
    for argv, environment in zip(commands, found, strict=True):
        plain = environment.environment.kind is EnvironmentKind.NONE
        task = {**shared["task"], "argv": _words(argv, plain), "environment": asdict(environment.environment)}
        body = {**shared, "key": submit_key(), "task": task}
        texts = {"sync": _code_line(snapshot), "env": environment.line}
        built.append(Built(body, texts, tuple(_left_out(snapshot)), environment.notes))
    return built


def told(root: Path, options: Mapping[str, Any], folder: str | Path | None) -> Settings:
    """The settings of one call, with what its options leave out. Raises UsageError."""
    file = options.get(FILE)
    chosen = os.path.join(folder or Path.cwd(), file) if file is not None else ""
    settings = load(root, said(options, folder), chosen)
    if options.get(SETUP_AGAIN) and not settings.setup:
        raise UsageError("there is no setup to do again", hints=["--setup './prepare.sh'", "setup = … in afield.toml"])
    return replace(settings, preflight=()) if options.get(NO_PREFLIGHT) else settings


def said(options: Mapping[str, Any], folder: str | Path | None) -> dict[str, Any]:
    """The settings among the options; folders that the caller names are his, not the workspace's."""
    found = {name: value for name, value in options.items() if name not in (*ONCE, WITH)}
    if found.get("dirs"):
        words = [found["dirs"]] if isinstance(found["dirs"], str) else found["dirs"]
        found["dirs"] = [absolute(word, Path(folder or Path.cwd())) for word in words]
    return found


def _as_before(
    commands: Sequence[Sequence[str]], settings: Settings, here: tuple[Path, str], *, again: bool
) -> list[Built]:
    """Submissions with the code and the environment of the workspace's newest job; nothing is looked at here."""
    root, place = here
    top = os.path.realpath(root)
    with Client() as client:
        jobs = client.jobs(all=True)
        last = next((job for job in jobs if job["snapshot"] and job["snapshot"]["root"] == top), None)
        if last is None:
            raise UsageError("--no-sync: no job has run the code of this project", why=f"which is {top}")
        task = client.submission(last["number"])["task"]
    shared = common(settings, Code(**{**task["code"], "folder": place}), again=again)
    known = {name: task[name] for name in ("environment", "setup_content")[: 1 if again else 2]}
    plain = known["environment"]["kind"] == EnvironmentKind.NONE
    texts = {"sync": f"as in job {last['number']}", "env": f"as in job {last['number']}"}
    return [
        Built(
            {**shared, "key": submit_key(), "task": {**shared["task"], **known, "argv": _words(argv, plain)}}, texts, ()
        )
        for argv in commands
    ]


def request_of(settings: Settings) -> Request:
    """What the settings ask for. Raises RequestSyntaxError."""
    request = Request()
    if settings.request:
        request = parse(settings.request)
    elif settings.gpus:
        request = parse_gpus(str(settings.gpus))
    if settings.need:
        request = parse_need(settings.need, request if settings.gpus else None)
    return replace(request, time_limit_s=settings.time)


def settings(file: str = "") -> list[tuple[str, str, str]]:
    """(key, value, origin) of every setting here; with the project's from `file`."""
    return load(_root_here(), file=os.path.abspath(file) if file else "").rows()


def describe() -> list[str]:
    """What afield makes of the folder one is in, a line each. Raises UsageError when it is no workspace."""
    root, place = find_root(Path.cwd())
    known = load(root)
    tree = Tree(root, places(known.dirs, root))
    snapshot = take_with(root, tree.dirs, cache=Path(Folders().cache), folder=place, big=True)
    largest = ", ".join(f"{name} {about_bytes(size)}" for name, size in snapshot.largest[:3])
    found = detect(tree, place, (), python=known.python, choice=known.environment)
    return [
        f"workspace {root}" + (f", here {place}" if place else ""),
        _code_line(snapshot) + (f"; largest: {largest}" if largest else ""),
        f"env: {found.line}",
        *found.notes,
        *_left_out(snapshot),
    ]


def _environments(commands: Sequence[Sequence[str]], settings: Settings, tree: Tree, place: str) -> list[Found]:
    """What each command needs; commands that begin alike are looked at once."""
    known: dict[tuple[str, str], Found] = {}
    found = []
    for argv in commands:
        if not argv or not argv[0]:
            raise UsageError("there is no command", hints=["afield run train.py"])
        key = (argv[0], next((word for word in argv if word.endswith(".py")), ""))
        if key not in known:
            words = looked_at(argv, tree.root / place)
            there = detect(tree, place, words, python=settings.python, choice=settings.environment)
            known[key] = found_for(argv, there)
        found.append(known[key])
    return found


def common(settings: Settings, snapshot: Snapshot | Code, *, again: bool = False) -> dict[str, Any]:
    """What all submissions with these settings and this code have in common: all but key, command, environment.

    `again`: their setup counts as one that no node has done yet.
    """
    code = Code(
        workspace=snapshot.workspace,
        tree=TreeHash(snapshot.tree),
        root=snapshot.root,
        folder=snapshot.folder,
        base_commit=snapshot.base_commit,
    )
    task = Task(
        argv=(),
        code=code,
        setup=settings.setup,
        setup_content=secrets.token_hex(8) if again else _setup_content(settings, Path(snapshot.root, snapshot.folder)),
        preflight=settings.preflight,
        variables=tuple(settings.env.items()),
        secrets=settings.secrets,
        collects=settings.outputs,
        continues=settings.continues or 0,
        merge=settings.merge,
        end=End(settings.end),
        grace_s=settings.grace,
    )
    return {
        "name": settings.name,
        "user": "",
        "task": asdict(task),
        "request": asdict(request_of(settings)),
        "policy": str(settings.policy or Policy.PASS),
        "priority": settings.priority,
        "nodes": list(settings.node),
    }


def _setup_content(settings: Settings, here: Path) -> str:
    """The hash of the files here that a setup's command names, and of the variables that it or they have a word for.

    "" when there are none.
    """
    words = list(settings.setup)
    if words[:2] == ["/bin/sh", "-c"]:
        try:
            words = shlex.split(words[2], comments=True)
        except ValueError:
            words = words[2].split()
    digest = hashlib.sha256()
    files = [word for word in words if not os.path.isabs(word) and (here / word).is_file()]
    texts = [(here / word).read_bytes() for word in files]
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    every = "\0".join(settings.setup).encode("utf-8", "surrogateescape") + b"\0".join(texts)
    named = sorted((k, v) for k, v in settings.env.items() if k.encode("utf-8", "surrogateescape") in every)
    for pair in named:
        digest.update("=".join(pair).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:16] if files or named else ""


def _words(argv: Sequence[str], plain: bool) -> list[str]:
    """A script that has no environment of ours runs under the first Python of the node's PATH."""
    if not argv or not argv[0]:
        raise UsageError("there is no command", hints=["afield run train.py"])
    return ["python3", *argv] if argv[0].endswith(".py") and plain else list(program(argv))


def _code_line(snapshot: Snapshot) -> str:
    return f"{snapshot.files:,} file{'s' * (snapshot.files != 1)}, {about_bytes(snapshot.bytes)}"


def _left_out(snapshot: Snapshot) -> list[str]:
    return [f"left out: {os.fspath(name)} ({reason})" for name, reason in snapshot.skipped[:5]]


def _root_here() -> Path | None:
    """The workspace here; None where there is none, such as the home folder."""
    try:
        return find_root(Path.cwd())[0]
    except UsageError:
        return None
