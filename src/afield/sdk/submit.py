"""From a command and options to submissions: settings, snapshot and environment, for the command line and for `run`."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from afield.config import Settings, load
from afield.environment.cells import code
from afield.environment.detect import Found, detect
from afield.environment.extra import add
from afield.errors import UsageError
from afield.folders import Folders
from afield.model.amount import about_bytes
from afield.model.ids import TreeHash
from afield.model.policy import Policy
from afield.model.request import Request, parse, parse_gpus
from afield.model.task import Code, End, EnvironmentKind, Task
from afield.sdk.client import submit_key
from afield.snapshot.take import Snapshot, find_root, take

BIG = "big"
"""An option that is no setting: send more than 1 GB without asking."""

WITH = "with_"
"""The other one: packages on top of what defines the environment."""

NOTEBOOK = ".ipynb"
EXECUTE = ("python3", "-m", "afield_execute")
JUPYTER = ("python3", "-m", "afield_serve", "jupyter")
EXECUTE_NEEDS = ("nbclient", "ipykernel")
_AT = re.compile(r"<the command>:\d+")


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

    `options` are settings by name, and `big`. Raises UsageError; `big` is its code when too much would be sent.
    """
    return build_all([argv], options, folder)[0]


def build_all(
    commands: Sequence[Sequence[str]], options: Mapping[str, Any], folder: str | Path | None = None
) -> list[Built]:
    """Submissions of many commands with the same options; the code is looked at once."""
    root, place = find_root(folder or Path.cwd())
    settings = load(root, {name: value for name, value in options.items() if name not in (BIG, WITH)})
    for argv in commands:
        _check_script(argv, root / place, settings)
    found = _environments(commands, settings, root, place)
    if options.get(WITH):
        found = [add(one, options[WITH]) for one in found]
    snapshot = take(root, cache=Path(Folders().cache), folder=place, big=bool(options.get(BIG)))
    shared = common(settings, snapshot)
    built = []
    for argv, environment in zip(commands, found, strict=True):
        task = {**shared["task"], "argv": _words(argv, environment), "environment": asdict(environment.environment)}
        body = {**shared, "key": submit_key(), "task": task}
        texts = {"sync": _code_line(snapshot), "env": environment.line}
        built.append(Built(body, texts, tuple(_left_out(snapshot)), environment.notes))
    return built


def request_of(settings: Settings) -> Request:
    """What the settings ask for. Raises RequestSyntaxError."""
    request = Request()
    if settings.request:
        request = parse(settings.request)
    elif settings.gpus:
        request = parse_gpus(str(settings.gpus))
    return replace(request, time_limit_s=settings.time)


def settings() -> list[tuple[str, str, str]]:
    """(key, value, origin) of every setting here."""
    return load(_root_here()).rows()


def describe() -> list[str]:
    """What afield makes of the folder one is in, a line each. Raises UsageError when it is no workspace."""
    root, place = find_root(Path.cwd())
    known = load(root)
    snapshot = take(root, cache=Path(Folders().cache), folder=place, big=True)
    largest = ", ".join(f"{name} {about_bytes(size)}" for name, size in snapshot.largest[:3])
    found = detect(root, place, (), python=known.python, choice=known.environment)
    return [
        f"workspace {root}" + (f", here {place}" if place else ""),
        _code_line(snapshot) + (f"; largest: {largest}" if largest else ""),
        f"env: {found.line}",
        *found.notes,
        *_left_out(snapshot),
    ]


def _environments(commands: Sequence[Sequence[str]], settings: Settings, root: Path, place: str) -> list[Found]:
    """What each command needs; commands that begin alike are looked at once."""
    known: dict[tuple[str, str], Found] = {}
    found = []
    for argv in commands:
        key = (argv[0], next((word for word in argv if word.endswith(".py")), ""))
        if key not in known:
            words = _looked_at(argv, root / place)
            known[key] = detect(root, place, words, python=settings.python, choice=settings.environment)
            if words is not argv:
                known[key] = _of_notebook(known[key], argv)
        found.append(known[key])
    return found


def common(settings: Settings, snapshot: Snapshot) -> dict[str, Any]:
    """What all submissions with these settings and this code have in common: all but key, command, environment."""
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
        setup_content=_named_files(settings.setup, Path(snapshot.root, snapshot.folder)),
        preflight=settings.preflight,
        variables=tuple(settings.env.items()),
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


def _named_files(argv: Sequence[str], here: Path) -> str:
    """The hash of the files here that a setup's command names; "" when it names none."""
    words = list(argv)
    if words[:2] == ["/bin/sh", "-c"]:
        try:
            words = shlex.split(words[2], comments=True)
        except ValueError:
            words = words[2].split()
    digest = hashlib.sha256()
    files = [word for word in words if not os.path.isabs(word) and (here / word).is_file()]
    for word in files:
        digest.update(hashlib.sha256((here / word).read_bytes()).digest())
    return digest.hexdigest()[:16] if files else ""


def _program(argv: Sequence[str]) -> Sequence[str]:
    """What really runs: a notebook needs somebody who runs it."""
    return (*EXECUTE, *argv) if argv[0].endswith(NOTEBOOK) else argv


def _looked_at(argv: Sequence[str], here: Path) -> Sequence[str]:
    """The words that say what a command imports: of a notebook, and of Jupyter for one, the code in it."""
    if argv[0].endswith(NOTEBOOK):
        return ("python3", "-c", code(here / argv[0]))
    if tuple(argv[: len(JUPYTER)]) == JUPYTER:
        return ("python3", "-c", code(here / argv[-1]))
    return argv


def _of_notebook(found: Found, argv: Sequence[str]) -> Found:
    """What was found in a notebook's code, told as that; with what runs it where nothing else does."""
    notebook = argv[0] if argv[0].endswith(NOTEBOOK) else argv[-1]
    notes = tuple(_AT.sub(lambda _: notebook, note) for note in found.notes)
    return add(replace(found, notes=notes), EXECUTE_NEEDS if argv[0].endswith(NOTEBOOK) else ())


def _words(argv: Sequence[str], found: Found) -> list[str]:
    """A script that has no environment of ours runs under the first Python of the node's PATH."""
    if argv[0].endswith(".py") and found.environment.kind is EnvironmentKind.NONE:
        return ["python3", *argv]
    return list(_program(argv))


def _code_line(snapshot: Snapshot) -> str:
    return f"{snapshot.files:,} file{'s' * (snapshot.files != 1)}, {about_bytes(snapshot.bytes)}"


def _check_script(argv: Sequence[str], here: Path, settings: Settings) -> None:
    """Refuse what can only fail on the node: a missing .py file (unless a setup may make it), a line as one word."""
    if not argv or not argv[0]:
        raise UsageError("there is no command", hints=["afield run train.py"])
    word = argv[0]
    if word.endswith(NOTEBOOK) and len(argv) > 1:
        raise UsageError(
            f"a notebook takes no words: {argv[1]}",
            why="it has no command line",
            hints=[f"afield run -e LR=3 {word}    and os.environ in a cell"],
        )
    if settings.setup or (here / word).exists():
        return
    if " " in word and len(argv) == 1:
        raise UsageError(
            f"{word!r} is one word",
            why="no program has that name",
            hints=[f"afield run -- bash -c {shlex.quote(word)}"],
        )
    if word.endswith((".py", NOTEBOOK)):
        scripts = [path.name for path in here.glob(f"*{Path(word).suffix}")] if "/" not in word else []
        near = difflib.get_close_matches(word, scripts, n=1)
        raise UsageError(
            f"there is no file {word} here", why=f"looked in {here}", hints=[f"did you mean {n}?" for n in near]
        )


def _left_out(snapshot: Snapshot) -> list[str]:
    return [f"left out: {os.fspath(name)} ({reason})" for name, reason in snapshot.skipped[:5]]


def _root_here() -> Path | None:
    """The workspace here; None where there is none, such as the home folder."""
    try:
        return find_root(Path.cwd())[0]
    except UsageError:
        return None
