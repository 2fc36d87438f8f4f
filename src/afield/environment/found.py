"""The last rung: no file names the packages, so the code's imports do, with the versions installed here.

Nothing is guessed: a package that is not installed here, or only as a folder of this machine, is named, and unless the
import may fail (in a function, under a condition, caught) nothing at all is installed for the imports.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from afield.environment.installed import Installed, Package, active, installed, requirement
from afield.environment.memory import Memory
from afield.environment.names import is_standard, probable_package
from afield.environment.tree import Recipe, Tree, normal
from afield.environment.walk import Entry, Reached, Use, entry, walk
from afield.folders import cache_folder
from afield.model.task import EnvironmentKind

_SHOWN = 4
_GIVEN = "afield"
"""Every job can import it: the runner brings what a program needs of it."""
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(slots=True)
class Needs:
    """What the code of a command imports: packages with their line for the installer, and what cannot be had.

    `missing` are needed, `perhaps` may fail without harm; both are sentences by module.
    """

    python: str = ""
    packages: dict[str, Package] = field(default_factory=dict)
    requirements: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    perhaps: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """What a person should know before the program fails on it."""
        notes = [f"{name} cannot be read as Python: its imports are not known" for name in self.unread]
        notes += self.missing.values()
        if self.missing:
            names = " ".join(dict.fromkeys([*map(probable_package, self.missing), *self.requirements]))
            way = f"install what is missing here, or name all packages in requirements.txt: {names}"
            notes.append(f"so nothing is installed for the imports: {way}")
        if self.perhaps:
            notes.append(f"not installed here, and perhaps not needed: {', '.join(sorted(self.perhaps))}")
        return tuple(notes)


def needs(tree: Tree, folder: str, begin: Entry, python: str, program: str = "") -> Needs:
    """What the code that begins here imports. `program` is the command's first word: its package is needed too."""
    return _Finder(tree, folder, python).look(begin, program)


def recipe(tree: Tree, folder: str, argv: Sequence[str], python: str) -> tuple[Recipe | None, tuple[str, ...]]:
    """The environment that the command's imports ask for, None when nothing has to be installed, and notes."""
    begin = entry(argv, folder)
    if begin is None or (begin.file and not tree.has(begin.file)):
        return None, ()
    found = needs(tree, folder, begin, python, argv[0])
    if found.missing or not (found.requirements or found.folders):
        return None, found.notes()
    files = tuple(f"{place}/{name}".lstrip("/") for place in found.folders for name in _PROJECT_FILES)
    files = tuple(name for name in files if tree.has(name))
    lines = (*found.requirements, *(f"./{place}" for place in found.folders))
    content = ("\n".join(lines).encode("utf-8", "surrogateescape"), *(tree.data(name) for name in files))
    made = Recipe(EnvironmentKind.IMPORTS, files, content, python or found.python, _label(found))
    return replace(made, packages=lines), found.notes()


class _Finder:
    def __init__(self, tree: Tree, folder: str, python: str) -> None:
        self._tree = tree
        self._folder = folder
        self._cache = cache_folder()
        self._memory = Memory(str(tree.root), self._cache, tree.dirs)
        self._asked: Installed | None = None
        self._needs = Needs(python=python)

    def look(self, begin: Entry, program: str) -> Needs:
        reached = walk(str(self._tree.root), self._folder, begin, self._memory, self._outside)
        self._memory.save()
        self._needs.files = tuple(reached.files)
        # A file that is missing or torn is the program's own business, unless the command begins with it.
        self._needs.unread = tuple(name for name in reached.unread if self._tree.has(name))
        for use in _strongest(reached):
            self._use(use)
        if self._needs.packages and (owner := self._here().of_command(posixpath.basename(program))):
            self._add(owner, Use(program, (), program, needed=False))
        if self._needs.packages:
            self._needs.python = self._needs.python or self._here().python
        return self._needs

    def _here(self) -> Installed:
        if self._asked is None:
            self._asked = installed(active(str(self._tree.root), self._folder), self._cache)
        return self._asked

    def _outside(self, module: str, names: tuple[str, ...]) -> bool:
        return is_standard(module, self._needs.python) or bool(self._here().of_module(module, names))

    def _use(self, use: Use) -> None:
        if is_standard(use.module, self._needs.python or self._version()) or use.module.partition(".")[0] == _GIVEN:
            return
        owners = self._here().of_module(use.module, use.names)
        for owner in owners:
            self._add(owner, use)
        if not owners:
            self._refuse(use, self._absent(use.module))

    def _version(self) -> str:
        return self._asked.python if self._asked else ""

    def _absent(self, module: str) -> str:
        python = self._needs.python or self._version()
        if is_standard(module, ""):
            return f"is no part of Python {python}"
        return "is not installed here" if self._here().executable else "cannot be looked up: there is no Python here"

    def _add(self, package: Package, use: Use) -> None:
        name = normal(package.name)
        if name in self._needs.packages:
            return
        place = self._place(package)
        line = "" if place else requirement(package)
        if place:
            self._needs.folders.append(place)
        elif line:
            self._needs.requirements.append(line)
        else:
            self._refuse(use, f"is installed here from {package.origin or package.version}, which no node can reach")
            return
        self._needs.packages[name] = package

    def _place(self, package: Package) -> str:
        """Where in the workspace a package comes from that is installed from a folder; "" elsewhere."""
        if not package.origin.startswith("file://"):
            return ""
        from urllib.parse import unquote  # noqa: PLC0415 4 ms that few need

        path = os.path.realpath(unquote(package.origin.removeprefix("file://")))
        root = os.path.realpath(self._tree.root)
        return os.path.relpath(path, root) if path.startswith(root + "/") and os.path.isdir(path) else ""

    def _refuse(self, use: Use, why: str) -> None:
        known = self._needs.missing if use.needed else self._needs.perhaps
        if not any(use.module.startswith(f"{module}.") for module in known):
            known[use.module] = f"{use.module} (imported at {use.where}) {why}"


def _strongest(reached: Reached) -> Iterable[Use]:
    """Each module once, in order, a needed use before one that may fail."""
    best: dict[tuple[str, tuple[str, ...]], Use] = {}
    for use in sorted(reached.uses, key=lambda use: not use.needed):
        best.setdefault((use.module, use.names), use)
    return sorted(best.values(), key=lambda use: (not use.needed, use.module))


def _label(found: Needs) -> str:
    words = [
        f"{name} {package.commit[:7] or package.public}" if name not in found.folders else name
        for name, package in sorted(found.packages.items())
    ]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"imports ({', '.join(words[:_SHOWN])}{more})"
