"""The ladder: finds what defines the environment of a command, on the client, by looking at a few files.

Nearest folder first (the command's, then those above it up to the workspace's root), and in each: `uv.lock`,
`pyproject.toml`, the header of the script (in the command's own folder only), `requirements.txt`. When none is there
the imports in the code say what is needed (`found`), and without any nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from afield.environment import project, requirements, script
from afield.environment.tree import Recipe, Tree, join
from afield.errors import UsageError
from afield.model.task import Environment, EnvironmentKind

AUTO = "auto"
_VERSION_FILE = ".python-version"
_REQUEST = re.compile(r"(?![-\s])[\w@.,<>=!~*+/ -]+")
_VERSION = re.compile(r"(?:(?:cpython|pypy|python)[-@]?)?\d+(?:\.\d+)*\S*")
_FOREIGN = {"environment.yml": "conda", "environment.yaml": "conda", "pixi.toml": "pixi", "Pipfile": "pipenv"}
_PYTHON = re.compile(r"python(?:\d+(?:\.\d+)*)?")


@dataclass(frozen=True, slots=True)
class Found:
    """An environment, the words for its line on the terminal, such as "uv.lock, python 3.12", and notes beside it."""

    environment: Environment
    line: str
    notes: tuple[str, ...] = ()


def detect(root: Path | Tree, folder: str, argv: Sequence[str], *, python: str = "", choice: str = AUTO) -> Found:
    """What the command needs. `folder` is its place below `root`, or a tree with more folders; `python` a version.

    `choice` is "auto", "none" (leave the node as it is), "plain" (its own Python), "imports", or a file: `uv.lock`,
    `pyproject.toml`, a requirements file, a script with a header; looked for in `folder`, then in `root`.
    Raises UsageError for a file that is bad (with the line) or missing.
    """
    if python and not _REQUEST.fullmatch(python):
        raise UsageError(f"{python!r} is no Python version", hints=["--python 3.12"])
    tree = root if isinstance(root, Tree) else Tree(root)
    near = tree.near(folder)
    if choice == EnvironmentKind.NONE:
        if python:
            raise UsageError(
                "--python and --environment none exclude each other",
                why="without an environment the node's PATH decides",
            )
        return Found(Environment(), "none")
    python = python or _pinned(tree, near)
    if choice not in (AUTO, EnvironmentKind.PLAIN, EnvironmentKind.IMPORTS):
        recipe: Recipe | None = _chosen(tree, near, choice, python)
    else:
        recipe = _ladder(tree, near, argv, python) if choice == AUTO else None
    notes: tuple[str, ...] = ()
    if recipe is None and choice in (AUTO, EnvironmentKind.IMPORTS):
        from afield.environment import found  # noqa: PLC0415 10 ms that those with a file need not pay

        notes = _foreign(tree, near) if choice == AUTO else ()
        if not notes:
            recipe, notes = found.recipe(tree, near[0], argv, python)
    if recipe is None and choice == EnvironmentKind.IMPORTS and notes:
        raise UsageError("--environment imports: not all of them can be had", why="\n".join(notes))
    if recipe is None:
        return replace(_nothing(argv, python, plain=choice == EnvironmentKind.PLAIN), notes=notes)
    shown = recipe.python or project.wants(tree, recipe)
    return Found(recipe.environment(), f"{recipe.label}, python {shown}" if shown else recipe.label, notes)


def _foreign(tree: Tree, near: list[str]) -> tuple[str, ...]:
    """A word about files of other tools, which define the project and which nothing of ours reads."""
    for place in near:
        for name, tool in _FOREIGN.items():
            name = f"{place}/{name}".lstrip("/")
            if tree.has(name):
                return (
                    f"{name} is for {tool}, which afield does not run: nothing is installed",
                    f"so use what {tool} made on the node (--environment none), or --environment imports, or list the"
                    " packages in requirements.txt",
                )
    return ()


def _ladder(tree: Tree, near: list[str], argv: Sequence[str], python: str) -> Recipe | None:
    for place in near:
        recipe = project.at(tree, place, python)
        if recipe is None and place == near[0]:
            recipe = _script(tree, place, argv, python)
        name = f"{place}/requirements.txt".lstrip("/")
        if recipe is None and tree.has(name):
            recipe = requirements.recipe(tree, name, python)
        if recipe is not None:
            return recipe
    return None


def _script(tree: Tree, folder: str, argv: Sequence[str], python: str) -> Recipe | None:
    for word in argv:
        if word.endswith(".py"):
            name = join(folder, word)
            return script.recipe(tree, name, python) if name and tree.has(name) else None
    return None


def _chosen(tree: Tree, near: list[str], choice: str, python: str) -> Recipe:
    name = next((name for place in near if (name := join(place, choice)) and tree.has(name)), None)
    if name is None:
        raise UsageError(
            f"--environment {choice}: there is no such file in the workspace",
            hints=[
                "name a uv.lock, a pyproject.toml, a requirements file or a script with a header; or auto, plain, none"
            ],
        )
    folder, _, base = name.rpartition("/")
    recipe: Recipe | None = None
    if base == project.LOCK:
        recipe = project.locked(tree, name, folder, python)
    elif base == project.PROJECT:
        recipe = project.alone(tree, folder, python)
    elif base.endswith(".py"):
        recipe = script.recipe(tree, name, python)
    elif base.endswith((".txt", ".in")):
        recipe = requirements.recipe(tree, name, python)
    if recipe is None:
        raise UsageError(f"--environment {choice}: this file does not define an environment")
    return recipe


def _nothing(argv: Sequence[str], python: str, *, plain: bool) -> Found:
    if python:
        environment = Recipe(EnvironmentKind.PLAIN, python=python).environment()
        return Found(environment, f"python {python}")
    word = argv[0] if argv else ""
    if plain or word.endswith(".py") or _PYTHON.fullmatch(word.rpartition("/")[2]):
        return Found(Environment(EnvironmentKind.PLAIN), "the node's python3")
    return Found(Environment(), "none")


def _pinned(tree: Tree, near: list[str]) -> str:
    """The first version in the nearest `.python-version`; names that only pyenv knows say nothing to a node."""
    for place in near:
        name = f"{place}/{_VERSION_FILE}".lstrip("/")
        if tree.has(name):
            words = [line.strip() for line in tree.text(name).splitlines() if line.strip() and not line.startswith("#")]
            return words[0] if words and _VERSION.fullmatch(words[0]) else ""
    return ""
