"""What a folder holds, for `afield init`: where it begins, its programs, its packages, its data. Reads, never runs."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from afield.config import load
from afield.environment.detect import Found, detect
from afield.environment.found import Needs, needs
from afield.environment.tree import Tree, normal, table
from afield.environment.walk import Entry
from afield.errors import UsageError
from afield.folders import Folders
from afield.model.task import EnvironmentKind
from afield.sdk.programs import NOTEBOOK, found_for, looked_at
from afield.snapshot.roots import is_checkout
from afield.snapshot.take import Look, find_root, look

_GUARD = re.compile(
    rb"^if\s*\(?\s*(?:__name__\s*==\s*['\"]__main__['\"]|['\"]__main__['\"]\s*==\s*__name__)", re.MULTILINE
)
_FIRST = ("train.py", "main.py", "run.py", "app.py")
_NO_PROGRAMS = re.compile(
    r"(?:^|/)(?:tests?|docs?|node_modules|build|dist|\..*)/|(?:^|/)(?:test_.*|conftest|setup|noxfile)\.py$"
)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_READ_BYTES = 512 * 1024
_MOST_READ = 2000
_DATA_NAMES = ("data", "datasets", "dataset", "checkpoints", "ckpt", "wandb", "models", "weights")
_MOST_COUNTED = 20_000
_LARGE = 50_000_000
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Program:
    """Something to run: the words after `afield run`, and why it is thought to be one."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Data:
    """A folder or file of data: its size so far as it was counted, and whether it goes to nodes with the code."""

    name: str
    bytes: int
    files: int
    sent: bool
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything found. `needs` is what the first program imports, None where there is no program."""

    root: Path
    folder: str
    look: Look
    programs: tuple[Program, ...]
    environment: Found
    needs: Needs | None
    data: tuple[Data, ...]
    settings: str
    checkout: bool = False


def survey(here: Path | None = None) -> Survey:
    """What the workspace around `here` (default: the current folder) holds. Raises UsageError when there is none."""
    root, folder = find_root(here or Path.cwd())
    seen = look(root, cache=Path(Folders().cache))
    known = load(root)
    tree = Tree(root)
    programs = tuple(_programs(tree, folder, seen.names))
    argv = shlex.split(programs[0].command) if programs else []
    try:
        words = looked_at(argv, root / folder) if argv else ()
    except UsageError:  # a notebook that nobody can read says nothing of packages
        words = argv = []
    found = detect(root, folder, words, python=known.python, choice=known.environment)
    if argv:
        found = found_for(argv, found)
    return Survey(
        root=root,
        folder=folder,
        look=seen,
        programs=programs,
        environment=found,
        needs=_needs(tree, folder, argv, found),
        data=tuple(_data(root, seen.names)),
        settings=_settings(root),
        checkout=is_checkout(root),
    )


def _needs(tree: Tree, folder: str, argv: list[str], found: Found) -> Needs | None:
    if not argv or not argv[0].endswith(".py"):
        return None
    return needs(tree, folder, Entry(posixpath.join(folder, argv[0])), found.environment.python)


def _programs(tree: Tree, folder: str, names: dict[str, int]) -> Iterator[Program]:
    """Scripts that look like programs, the likeliest first, then those that the project declares."""
    inside = f"{folder}/" if folder else ""
    scripts = [n for n in names if n.startswith(inside) and n.endswith(".py") and not _NO_PROGRAMS.search(n)]
    scripts.sort(key=lambda name: (name.count("/"), _rank(name), name))
    for name in scripts[:_MOST_READ]:
        base = posixpath.basename(name)
        guarded = _guarded(tree.root / name)
        if guarded or (_rank(name) < len(_FIRST) + 1 and name.count("/") == inside.count("/")):
            yield Program(
                shlex.quote(name.removeprefix(inside)), "has a main guard" if guarded else f"is called {base}"
            )
    project = f"{inside}pyproject.toml"
    if tree.has(project):
        for name in table(tree.toml(project), "project", "scripts"):
            yield Program(name, "a script of pyproject.toml")
    notebooks = [n for n in names if n.startswith(inside) and n.endswith(NOTEBOOK)]
    for name in sorted(notebooks, key=lambda name: (name.count("/"), name)):
        yield Program(shlex.quote(name.removeprefix(inside)), "a notebook: its cells, one by one")


def _rank(name: str) -> int:
    base = posixpath.basename(name)
    if base in _FIRST:
        return _FIRST.index(base)
    return len(_FIRST) if base.startswith("train") else len(_FIRST) + 1


def _guarded(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _GUARD.search(file.read(_READ_BYTES)) is not None
    except OSError:
        return False


def _data(root: Path, names: dict[str, int]) -> Iterator[Data]:
    sent: dict[str, list[int]] = {}
    for name, size in names.items():
        top, slash, _ = name.partition("/")
        if slash:
            sent.setdefault(top, []).append(size)
    with os.scandir(root) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    for name in folders:
        size = sum(sent.get(name, ()))
        if name in sent and (size > _LARGE or (name in _DATA_NAMES and len(sent[name]) >= _MANY)):
            yield Data(f"{name}/", size, len(sent[name]), sent=True)
        elif name not in sent and name in _DATA_NAMES:
            yield _counted(root, name)
    for name, size in names.items():
        if size > _LARGE and "/" not in name:
            yield Data(name, size, 1, sent=True)


def _counted(root: Path, name: str) -> Data:
    total, files = 0, 0
    for place, _, found in os.walk(root / name):
        for file in found:
            files += 1
            try:
                total += os.lstat(os.path.join(place, file)).st_size
            except OSError:
                continue
            if files >= _MOST_COUNTED:
                return Data(f"{name}/", total, files, sent=False, counted=False)
    return Data(f"{name}/", total, files, sent=False)


def _settings(root: Path) -> str:
    """The file that has this workspace's settings already; "" when none does."""
    if (root / "afield.toml").exists():
        return "afield.toml"
    tree = Tree(root)
    has = tree.has("pyproject.toml") and table(tree.toml("pyproject.toml"), "tool", "afield")
    return "pyproject.toml" if has else ""


def packages(found: Survey) -> list[str]:
    """The lines for an installer that the first program's imports come to, sorted."""
    if found.environment.environment.kind is EnvironmentKind.IMPORTS:
        return sorted(found.environment.environment.packages)
    return sorted(found.needs.requirements) if found.needs else []


def unnamed(found: Survey) -> list[str]:
    """The lines of `packages` for which the files that define the environment have no word."""
    files = found.environment.environment.files
    if not files:
        return []
    tree = Tree(found.root)
    words = {normal(word) for name in files for word in _WORD.findall(tree.text(name))}
    return [line for line in packages(found) if normal(line) not in words]


def check_free(found: Survey, *, force: bool) -> None:
    """Raises UsageError when the settings that are there would be replaced or hidden."""
    if found.settings and not force:
        hides = "would replace it" if found.settings == "afield.toml" else "would hide its [tool.afield]"
        raise UsageError(
            f"{found.settings} has settings already",
            why=f"a new afield.toml {hides}",
            hints=["afield config        shows what they say", "afield init --dry-run", "afield init --force"],
        )
