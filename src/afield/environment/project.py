"""The rungs for projects: `pyproject.toml`, alone or with the `uv.lock` of its project or workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from afield.environment.tree import Recipe, Tree, join, normal, parse, table
from afield.errors import UsageError
from afield.model.task import EnvironmentKind

PROJECT = "pyproject.toml"
LOCK = "uv.lock"
_LOCAL = re.compile(r"^source = \{ (?:editable|directory|virtual) = ", re.MULTILINE)
_CONFLICT = re.compile(r"^(?:<<<<<<<|>>>>>>>) ", re.MULTILINE)

_IRRELEVANT = frozenset(
    (
        "version",
        "description",
        "readme",
        "license",
        "license-files",
        "authors",
        "maintainers",
        "keywords",
        "classifiers",
        "urls",
    )
)


@dataclass(frozen=True, slots=True)
class _Local:
    """A project of the tree that a lock file knows: its folder, and what it asked for when it was locked (or None)."""

    folder: str
    asked: frozenset[str] | None


def at(tree: Tree, folder: str, python: str) -> Recipe | None:
    """The environment of the project in this folder; None when there is none that asks for anything."""
    name = _in(folder, PROJECT)
    if not tree.has(name):
        return None
    data = tree.toml(name)
    for above in tree.near(folder):
        if tree.has(_in(above, LOCK)):
            found = locked(tree, _in(above, LOCK), folder, python)
            if found is not None:
                return found
    return alone(tree, folder, python) if _asks(tree, folder, data) else None


def locked(tree: Tree, lock: str, folder: str, python: str) -> Recipe | None:
    """The environment of the project in `folder` by a lock file; None when the lock does not know that project.

    Raises UsageError for a lock that is torn by a merge, older than the project, or reaches out of the workspace.
    """
    text = tree.text(lock)
    _whole(text, lock)
    locals_ = list(_locals(text, lock))
    project = next((known for known in locals_ if known.folder == folder), None)
    if project is None:
        return None
    _fresh(tree, lock, project)
    names = [_in(folder, PROJECT)]
    names += [
        name for name in (_in(known.folder, PROJECT) for known in locals_) if name not in names and tree.has(name)
    ]
    content = (text.encode("utf-8", "surrogateescape"), *(_defining(tree.toml(name)) for name in names))
    return Recipe(EnvironmentKind.UV_LOCK, (lock, *names), content, python, lock)


def alone(tree: Tree, folder: str, python: str) -> Recipe:
    """The environment of a project without a lock file."""
    name = _in(folder, PROJECT)
    data = tree.toml(name)
    files = [name]
    if _dynamic(data):
        others = ["setup.py", "setup.cfg", "requirements.txt", *_named(data)]
        files += [other for other in dict.fromkeys(_in(folder, n) for n in others) if tree.has(other)]
    content = (_defining(data), *(tree.data(other) for other in files[1:]))
    return Recipe(EnvironmentKind.PYPROJECT, tuple(files), content, python, name)


def wants(tree: Tree, recipe: Recipe) -> str:
    """The Python that a project asks for, such as ">=3.11"; "" when it does not say."""
    name = next((name for name in recipe.files if name.rpartition("/")[2] == PROJECT), "")
    found = table(tree.toml(name), "project").get("requires-python", "") if name else ""
    return found if isinstance(found, str) else ""


def _asks(tree: Tree, folder: str, data: dict[str, Any]) -> bool:
    project = table(data, "project")
    if project.get("dependencies") or _dynamic(data) or table(data, "tool", "poetry", "dependencies"):
        return True
    # Metadata alone must not hide the file that really lists the packages.
    return bool(project or table(data, "build-system")) and not tree.has(_in(folder, "requirements.txt"))


def _dynamic(data: dict[str, Any]) -> bool:
    project = table(data, "project")
    return "dependencies" in project.get("dynamic", ()) or (not project and bool(table(data, "build-system")))


def _named(data: dict[str, Any]) -> list[str]:
    found = table(data, "tool", "setuptools", "dynamic", "dependencies").get("file", [])
    return [found] if isinstance(found, str) else [name for name in found if isinstance(name, str)]


def _defining(data: dict[str, Any]) -> bytes:
    """What of a project file decides about packages: a new version or a linter's rule makes no new environment."""
    project = {k: v for k, v in table(data, "project").items() if k not in _IRRELEVANT}
    tool = table(data, "tool")
    tools = {k: tool[k] for k in ("uv", "poetry", "setuptools", "pdm", "hatch", "flit") if k in tool}
    parts = [project, tools, data.get("dependency-groups"), data.get("build-system")]
    return json.dumps(parts, sort_keys=True, default=str).encode("ascii")


def _whole(text: str, lock: str) -> None:
    torn = _CONFLICT.search(text)
    if torn:
        line = text.count("\n", 0, torn.start()) + 1
        raise UsageError(f"{lock}:{line}: a merge was not finished here", hints=["uv lock"])


def _locals(text: str, lock: str) -> Iterator[_Local]:
    # A lock may have a megabyte, which takes half a second to parse; its entries for the project itself are few.
    head, *entries = text.split("\n[[package]]\n")
    line = head.count("\n") + 2
    for entry in entries:
        if _LOCAL.search(entry):
            yield _local(parse(f"[[package]]\n{entry}", lock, lines_before=line - 1)["package"][0], lock)
        line += entry.count("\n") + 2


def _local(entry: dict[str, Any], lock: str) -> _Local:
    source = table(entry, "source")
    said = str(source.get("editable") or source.get("directory") or source.get("virtual") or ".")
    folder = join(lock.rpartition("/")[0], said)
    if folder is None:
        raise UsageError(
            f"{lock} takes {entry.get('name')} from {said}",
            why="it lies outside the workspace, and only the workspace is sent to nodes",
            hints=["put an afield.toml into a folder that holds both: it becomes the root of the workspace"],
        )
    asked = table(entry, "metadata").get("requires-dist")
    names = frozenset(normal(str(item.get("name"))) for item in asked) if isinstance(asked, list) else None
    return _Local(folder, names)


def _fresh(tree: Tree, lock: str, project: _Local) -> None:
    name = _in(project.folder, PROJECT)
    dependencies = table(tree.toml(name), "project").get("dependencies", [])
    asked = project.asked or frozenset()
    missing = [text for text in dependencies if isinstance(text, str) and normal(text) not in asked]
    if missing:
        raise UsageError(
            f"{lock} is older than {name}",
            why=f"it does not have {', '.join(missing)}",
            hints=["uv lock"],
        )


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
