"""The rung for `requirements.txt`: the file, what it includes, and the folders of the tree that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from afield.environment.tree import Recipe, Tree, join
from afield.errors import UsageError
from afield.model.task import EnvironmentKind

_OPTION = re.compile(r"^(-r|--requirement|-c|--constraint|-e|--editable)(?:\s+|=|(?<=-[rce]))(.+)$")
_OUTSIDE = "it lies outside the workspace, and only the workspace is sent to nodes"
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(slots=True)
class _Reading:
    tree: Tree
    base: str
    files: list[str] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)

    def add(self, name: str) -> bool:
        """Take a file in once; whether it was new."""
        if name in self.files:
            return False
        self.files.append(name)
        self.content.append(self.tree.data(name))
        return True


def recipe(tree: Tree, name: str, python: str) -> Recipe:
    """The environment of a requirements file. Raises UsageError (file and line) for what it names and is not there.

    Includes are relative to the file that has them, folders and archives to the folder of the first file.
    """
    reading = _Reading(tree, name.rpartition("/")[0])
    _read(reading, name)
    return Recipe(EnvironmentKind.REQUIREMENTS, tuple(reading.files), tuple(reading.content), python, name)


def _read(reading: _Reading, name: str) -> None:
    if not reading.add(name):
        return
    for number, line in _lines(reading.tree.text(name)):
        option = _OPTION.match(line)
        where = f"{name}:{number}"
        if option and option[1] not in ("-e", "--editable"):
            _read(reading, _included(reading.tree, name, option[2].strip(), where))
        else:
            _local(reading, option[2] if option else line, where, editable=option is not None)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        if line.endswith("\\"):
            joined += line[:-1]
            continue
        whole = re.sub(r"(^|\s)#.*$", "", joined + line).strip()
        if whole:
            yield start, whole
        joined, start = "", 0


def _included(tree: Tree, name: str, target: str, where: str) -> str:
    if "://" in target:
        raise UsageError(
            f"{where}: {target} is not a file of the project",
            why="what defines an environment must be known before it is named",
            hints=["save it in the project and include that file"],
        )
    found = join(name.rpartition("/")[0], target.strip("\"'"))
    if found is None or not tree.has(found):
        raise UsageError(f"{where}: there is no {target}", why=_OUTSIDE if found is None else "the file is missing")
    return found


def _local(reading: _Reading, line: str, where: str, *, editable: bool) -> None:
    path = re.split(r"\s*;|\s+#|\s+--|\[|#", line.removeprefix("file:").strip("\"'"), maxsplit=1)[0].rstrip()
    if "://" in path or " @ " in path or re.match(r"(git|hg|svn|bzr)\+", path):
        return
    if not editable and not path.startswith((".", "/")) and not path.endswith((".whl", ".tar.gz", ".zip")):
        return
    found = join(reading.base, path)
    if found is None:
        raise UsageError(f"{where}: {path} cannot go with the code", why=_OUTSIDE)
    if reading.tree.has(found):
        reading.content.append(reading.tree.data(found))
        return
    projects = [f"{found}/{name}".lstrip("/") for name in _PROJECT_FILES]
    present = [name for name in projects if reading.tree.has(name)]
    if not present:
        raise UsageError(f"{where}: {path} is no project", why=f"it has none of {', '.join(_PROJECT_FILES)}")
    for name in present:
        reading.add(name)
