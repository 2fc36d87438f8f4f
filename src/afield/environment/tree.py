"""The project's files as the ladder reads them: names in the tree, never above its root; and what a rung found."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from afield.errors import UsageError
from afield.model.task import Environment, EnvironmentKind

_ADDRESS = re.compile(rb"https://(?:[^/\s@\"']*@)?([A-Za-z0-9.-]+)(?::(\d{1,5}))?")
FORMAT = "1"
"""Grows when nodes build environments differently: the old ones are then left alone and new ones made."""


class Weight(IntEnum):
    """How sure it is that an import is carried out; a smaller number weighs more."""

    NEEDED = 0
    MAIN = 1
    """Only in the file that is run, below its main guard."""
    PERHAPS = 2
    """In a function, under a condition, or where its failure is caught."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What defines an environment. `files` are names in the tree, the defining one first.

    `content` is what the key is made from; `python` is the version request, `label` what people see; `packages` are
    lines for the installer where no file has them.
    """

    kind: EnvironmentKind
    files: tuple[str, ...] = ()
    content: tuple[bytes, ...] = ()
    python: str = ""
    label: str = ""
    packages: tuple[str, ...] = ()

    def environment(self) -> Environment:
        """The environment, named by the hash of all this."""
        digest = hashlib.sha256()
        for part in (FORMAT, str(self.kind), self.python, *self.files):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
        for data in self.content:
            digest.update(hashlib.sha256(data).digest())
        hosts = hosts_in(b"\n".join(self.content))
        return Environment(self.kind, digest.hexdigest()[:32], self.python, self.files, self.packages, hosts)


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below a workspace's root, by their names in it ("" is the root itself).

    `dirs` are other folders, which stand at its top under these names.
    """

    root: Path
    dirs: Mapping[str, Path] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether this is a file."""
        return self._at(name).is_file()

    def has_folder(self, name: str) -> bool:
        """Whether this is a folder."""
        return self._at(name).is_dir()

    def _at(self, name: str) -> Path:
        first, _, rest = name.partition("/")
        return self.dirs[first] / rest if first in self.dirs else self.root / name

    def data(self, name: str) -> bytes:
        """A file's bytes. Raises UsageError when they cannot be read."""
        try:
            return self._at(name).read_bytes()
        except OSError as error:
            raise UsageError(f"{name} cannot be read", why=error.strerror or str(error)) from error

    def text(self, name: str) -> str:
        """A file's text; bytes that are not UTF-8 stay as surrogate escapes."""
        return self.data(name).decode("utf-8-sig", "surrogateescape")

    def toml(self, name: str) -> dict[str, Any]:
        """A TOML file. Raises UsageError that names the line."""
        return parse(self.text(name), name)

    def near(self, folder: str) -> list[str]:
        """The folder and all above it up to the root, nearest first."""
        folder = posixpath.normpath(folder) if folder else ""
        names = [] if folder == "." else [folder]
        while names and names[-1]:
            names.append(posixpath.dirname(names[-1]))
        return names or [""]


def hosts_in(data: bytes) -> tuple[str, ...]:
    """The hosts of the https addresses in what defines an environment, as "name:port", sorted."""
    found = {(name.decode("ascii").lower(), int(port or b"443")) for name, port in _ADDRESS.findall(data)}
    return tuple(sorted(f"{name}:{port}" for name, port in found))


def join(folder: str, name: str) -> str | None:
    """The name in the tree of `name` as said in `folder`; "" for the root, None when it leads out of the tree."""
    path = posixpath.normpath(posixpath.join(folder, name))
    if path.startswith(("/", "../")) or path == "..":
        return None
    return "" if path == "." else path


def parse(text: str, name: str, *, lines_before: int = 0) -> dict[str, Any]:
    """TOML as tables. Raises UsageError with file and line; `lines_before` is where in the file the text begins."""
    import tomllib  # noqa: PLC0415 2.5 ms that only those with a file pay

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise UsageError(f"{name}:{line + lines_before}: this is not valid TOML", why=str(error)) from error


def table(data: Any, *keys: str) -> dict[str, Any]:
    """The table at this place; empty when there is none or it is something else."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def normal(name: str) -> str:
    """A package's name as indexes compare it, from a requirement such as `Foo_Bar[x]>=1`."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", name)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""
