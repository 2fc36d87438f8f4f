"""Follows imports from a command's code through the workspace, and lists what they take from outside of it.

Modules are found as Python on a node will find them: beside the script (or in the current folder for `-m` and `-c`),
in `src` and in the root of the workspace; a folder without `__init__.py` only when no package has that name. What is
nowhere is looked for in other folders of the workspace too, since programs change their own path: a guess, which only
keeps a module of the workspace from being called a missing package.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from afield.environment.memory import Memory
from afield.environment.tree import Weight, join

_SUFFIXES = (".py", ".so", ".pyd")
_MOST = 5000
"""More files than this are generated, not written."""
_CODE = "<the command>"

Outside = Callable[[str, tuple[str, ...]], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command's code begins: a file of the workspace, a module for `-m`, or text for `-c`."""

    file: str = ""
    module: str = ""
    text: str = ""


class Use(NamedTuple):
    """Something imported that the workspace does not hold; `names` are what is taken out of it."""

    module: str
    names: tuple[str, ...]
    where: str
    needed: bool


@dataclass(slots=True)
class Reached:
    """What was found: files of the workspace, uses of what is not in it, files that cannot be read as Python."""

    files: dict[str, Weight] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def entry(argv: Iterable[str], folder: str) -> Entry | None:
    """The Python that a command runs: its first `.py` word, else what follows `-m` or `-c` of a Python; or None."""
    words = list(argv)
    python = bool(words) and posixpath.basename(words[0]).startswith("python")
    for index, word in enumerate(words):
        if python and word in ("-m", "-c") and index + 1 < len(words):
            return Entry(module=words[index + 1]) if word == "-m" else Entry(text=words[index + 1])
        if word.endswith(".py"):
            name = join(folder, word)
            return Entry(file=name) if name else None
    return None


def walk(root: str, folder: str, begin: Entry, memory: Memory, outside: Outside) -> Reached:
    """Everything that the entry reaches. `folder` is where the command runs, `memory` what was read before.

    `outside` says whether a module (and the names taken out of it) is known to be no part of the workspace.
    """
    return _Walk(root, folder, begin, memory, outside).all()


class _Walk:
    def __init__(self, root: str, folder: str, begin: Entry, memory: Memory, outside: Outside) -> None:
        self.shelves = Shelves(root, memory.dirs)
        self.memory = memory
        self.outside = outside
        self.begin = begin
        self._entry = begin.file
        here = posixpath.dirname(begin.file) if begin.file else folder
        self.search = list(dict.fromkeys((here, "src", "")))
        self.anywhere = list(dict.fromkeys((*self.search, *self._further(here))))
        self.reached = Reached()
        self._todo: list[tuple[str, Weight]] = []

    def all(self) -> Reached:
        if self.begin.module:
            self._run_module(self.begin.module)
        elif self.begin.file:
            self._reach(self.begin.file, Weight.NEEDED)
        else:
            self._read(_CODE, self.memory.of_text(self.begin.text), Weight.NEEDED)
        while self._todo and len(self.reached.files) < _MOST:
            # What is needed goes first, so that a file that is needed after all is rarely read twice.
            self._todo.sort(key=lambda item: -item[1])
            name, weight = self._todo.pop()
            found = self.memory.of_file(name)
            if found is None:
                self.reached.unread.append(name)
            else:
                self._read(name, found, weight)
        return self.reached

    def _run_module(self, module: str) -> None:
        for name in (f"{module}.__main__", module):
            folder = self.shelves.find_in(self.search, name)
            if folder is not None:
                self._entry = (self.shelves.find(folder, name.split(".")) or [""])[-1]
                self._take([folder], name, (), Weight.NEEDED)
                return
        self.reached.uses.append(Use(module, (), f"-m {module}", True))

    def _reach(self, name: str, weight: Weight) -> None:
        known = self.reached.files.get(name)
        if known is None or weight < known:
            self.reached.files[name] = weight
            self._todo.append((name, weight))

    def _read(self, name: str, found: Iterable[tuple[str, tuple[str, ...], int, int]], weight: Weight) -> None:
        for module, names, line, own in found:
            if own == Weight.MAIN:
                own = Weight.NEEDED if name in (self._entry, _CODE) else Weight.PERHAPS
            self._follow(name, (module, names, line), max(weight, Weight(own)))

    def _follow(self, name: str, found: tuple[str, tuple[str, ...], int], weight: Weight) -> None:
        module, names, line = found
        level = len(module) - len(module.lstrip("."))
        if level:
            base = join(posixpath.dirname(name) or ".", "../" * (level - 1) or ".")
            if base is not None:
                self._take([base], module[level:], names, weight)
        elif self.shelves.is_regular(self.search, module):
            self._take(self.search, module, names, weight)
        elif self.outside(module, names) or not self._take(self.anywhere, module, names, weight):
            self.reached.uses.append(Use(module, names, f"{name}:{line}", weight == Weight.NEEDED))

    def _take(self, folders: Iterable[str], module: str, names: tuple[str, ...], weight: Weight) -> bool:
        folder = self.shelves.find_in(folders, module)
        if folder is None:
            return False
        parts = module.split(".") if module else []
        for taken in ([], *([name] for name in names)):
            for file in self.shelves.find(folder, [*parts, *taken]) or ():
                self._reach(file, weight)
        return True

    def _further(self, here: str) -> Iterator[str]:
        while here:
            here = posixpath.dirname(here)
            yield here
        for name in sorted(self.shelves.at("")):
            if not name.startswith(".") and self.shelves.at(name) and "pyvenv.cfg" not in self.shelves.at(name):
                yield name
                yield f"{name}/src"


class Shelves:
    """The names in the workspace's folders, each folder read once; `dirs` stand at its top and are elsewhere."""

    def __init__(self, root: str, dirs: Mapping[str, str]) -> None:
        self.root = os.path.realpath(root)
        self.dirs = dirs
        self._names: dict[str, dict[str, bool]] = {}

    def at(self, folder: str) -> dict[str, bool]:
        """The names in a folder, each with whether it is a folder; empty for one that is not there or outside."""
        known = self._names.get(folder)
        if known is None:
            first, _, rest = folder.partition("/")
            top = self.dirs.get(first, self.root)
            known = self._listed(top, os.path.join(top, rest if first in self.dirs else folder))
            self._names[folder] = known if folder else known | dict.fromkeys(self.dirs, True)
            known = self._names[folder]
        return known

    def is_regular(self, folders: Iterable[str], module: str) -> bool:
        """Whether one of the folders has the module's first part as a file or as a package with `__init__.py`."""
        top = module.partition(".")[0]
        for folder in folders:
            names = self.at(folder)
            if names.get(top) and "__init__.py" in self.at(posixpath.join(folder, top)):
                return True
            if any(name.startswith(f"{top}.") and name.endswith(_SUFFIXES) for name in names):
                return True
        return False

    def find_in(self, folders: Iterable[str], module: str) -> str | None:
        """The first of the folders that has this module."""
        parts = module.split(".") if module else []
        return next((folder for folder in folders if self.find(folder, parts) is not None), None)

    def find(self, folder: str, parts: list[str]) -> list[str] | None:
        """The files that importing `parts` from `folder` runs; None when it has no such module.

        A folder without `__init__.py` counts only when there is Python in it.
        """
        files: list[str] = []
        for index, part in enumerate(parts):
            inside = posixpath.join(folder, part)
            names = self.at(folder)
            if names.get(part):
                folder = inside
                files += [f"{inside}/__init__.py"] if "__init__.py" in self.at(inside) else []
                if "__init__.py" in self.at(inside) or self._holds_code(inside):
                    continue
                return files if index and files else None
            if f"{part}.py" in names:
                return [*files, f"{inside}.py"]
            if any(name.startswith(f"{part}.") and name.endswith(_SUFFIXES) for name in names):
                return files
            # Of `import a.b`, `a` decides whose it is; `b` may be a name that its `__init__` makes.
            return files if index and files else None
        return files

    def _holds_code(self, folder: str, depth: int = 2) -> bool:
        names = self.at(folder)
        if any(name.endswith(_SUFFIXES) for name in names):
            return True
        return depth > 0 and any(
            self._holds_code(f"{folder}/{name}", depth - 1)
            for name, is_folder in names.items()
            if is_folder and name.isidentifier()
        )

    def _listed(self, top: str, path: str) -> dict[str, bool]:
        inside = os.path.realpath(path)
        if inside != top and not inside.startswith(top + "/"):
            return {}
        try:
            with os.scandir(inside) as entries:
                return {item.name: item.is_dir() for item in entries}
        except OSError:
            return {}
