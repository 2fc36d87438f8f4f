"""What the Python that the user works with has installed: asked of it once, kept while its folders do not change.

Nothing of the project is run: the question is a program of ours, and the answers come from the packages' own records.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from afield.environment.memory import keep, load
from afield.environment.tree import normal

_FORMAT = 1
_WITHIN_S = 20.0
_PROGRAM = Path(__file__).with_name("question.py")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package. `origin` is "" for an index, else its URL, which may be a folder of this machine."""

    name: str
    version: str
    origin: str = ""
    commit: str = ""
    editable: bool = False

    @property
    def public(self) -> str:
        """The version as indexes know it: what follows a `+` names somebody's own build."""
        return self.version.partition("+")[0]


class Installed:
    """The packages of one Python, by the modules they bring. `python` is its version as "3.12", "" without one."""

    def __init__(self, executable: str, answer: Mapping[str, Any]) -> None:
        self.executable = executable
        self.python = str(answer.get("python", ""))
        self._packages: list[list[Any]] = list(answer.get("packages", ()))

    @cached_property
    def _owners(self) -> dict[str, list[int]]:
        owners: dict[str, list[int]] = {}
        for index, package in enumerate(self._packages):
            for module in package[5]:
                owners.setdefault(module, []).append(index)
        return owners

    @cached_property
    def _commands(self) -> dict[str, int]:
        return {name: index for index, package in enumerate(self._packages) for name in package[6]}

    def of_module(self, module: str, names: tuple[str, ...] = ()) -> list[Package]:
        """Who brings a module: for `from google.cloud import storage` the owner of the longest name that is known."""
        taken = [f"{module}.{name}" for name in names if f"{module}.{name}" in self._owners]
        found = taken or ([above] if (above := self._nearest(module)) else [])
        owners = dict.fromkeys(index for dotted in found for index in self._owners[dotted])
        return [self._package(index) for index in owners]

    def _nearest(self, dotted: str) -> str:
        while dotted and dotted not in self._owners:
            dotted = dotted.rpartition(".")[0]
        return dotted

    def of_command(self, command: str) -> Package | None:
        """Who brings a program such as `pytest`."""
        index = self._commands.get(command)
        return None if index is None else self._package(index)

    def _package(self, index: int) -> Package:
        name, version, origin, commit, editable = self._packages[index][:5]
        return Package(name, version, origin, commit, bool(editable))


def active(root: str, folder: str) -> str:
    """The Python that the user works with: VIRTUAL_ENV, the nearest `.venv` of the workspace, `python3` on the PATH.

    A VIRTUAL_ENV that afield itself runs from comes after `.venv`: it may be active only for the sake of the command.
    """
    places = []
    while True:
        places.append(os.path.join(root, folder, ".venv"))
        if not folder:
            break
        folder = os.path.dirname(folder)
    if chosen := os.environ.get("VIRTUAL_ENV", ""):
        ours = os.path.realpath(chosen) == os.path.realpath(sys.prefix)
        places.insert(len(places) if ours else 0, chosen)
    for place in places:
        python = os.path.join(place, "bin", "python")
        if os.access(python, os.X_OK):
            return python
    import shutil  # noqa: PLC0415 5 ms that those with an environment of their own need not pay

    return shutil.which("python3") or shutil.which("python") or ""


def installed(executable: str, cache: str = "") -> Installed:
    """What this Python has. One that does not answer has nothing."""
    if not executable:
        return Installed("", {})
    name = hashlib.sha256(os.fsencode(f"{executable}\0{os.environ.get('PYTHONPATH', '')}")).hexdigest()[:16]
    path = os.path.join(cache, f"python-{name}.json") if cache else ""
    known = load(path, _FORMAT)
    if known and known["marks"] == _marks(executable, known["answer"]["path"]):
        return Installed(executable, known["answer"])
    answer = _ask(executable)
    if answer is None:
        return Installed(executable, {})
    if path:
        keep(path, {"marks": _marks(executable, answer["path"]), "answer": answer}, _FORMAT)
    return Installed(executable, answer)


def _marks(executable: str, folders: list[str]) -> list[list[Any]]:
    """What changes when a package comes, goes or is replaced: its record's name is in the folder."""
    marks = []
    for path in (os.path.realpath(executable), os.path.join(os.path.dirname(executable), "../pyvenv.cfg"), *folders):
        try:
            marks.append([path, os.stat(path).st_mtime_ns])
        except OSError:
            marks.append([path, 0])
    return marks


def _ask(executable: str) -> dict[str, Any] | None:
    import subprocess  # noqa: PLC0415 5 ms, once for each Python

    try:
        # As text and from the root folder: no module of the project, and none of ours, may stand in for Python's own.
        argv = [executable, "-c", _PROGRAM.read_text()]
        quiet = subprocess.DEVNULL
        done = subprocess.run(argv, cwd="/", stdin=quiet, capture_output=True, check=True, timeout=_WITHIN_S)
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return answer if isinstance(answer, dict) else None


def requirement(package: Package) -> str:
    """The line that installs this very package elsewhere; "" when it lies on this machine only."""
    name = normal(package.name)
    if not package.origin:
        return f"{name}=={package.public}" if re.fullmatch(r"[\w.!-]+", package.public) else ""
    if package.commit:
        return f"{name} @ {package.origin}@{package.commit}"
    return "" if package.origin.startswith("file:") else f"{name} @ {package.origin}"
