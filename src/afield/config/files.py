"""The files that settings come from: which, what is in them, and on which line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from afield.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path  # 3 ms to load

_LINE = re.compile(r"""\s*(?:\[\[?\s*(?P<table>[^\]]+?)\s*\]|(?P<key>[\w.'"-][\w.'" -]*?)\s*=)""")

_LAYERS = MappingProxyType({1: "local", 2: "project", 3: "user"})


class Origin(NamedTuple):
    """Where a value comes from; `rank` orders the layers, 0 is the highest."""

    layer: str
    rank: int
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else self.layer


DEFAULT = Origin("default", 9)


class Layer(NamedTuple):
    """What one file says, and the line of each key and table by their dotted names."""

    file: str
    rank: int
    values: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int]
    prefix: tuple[str, ...] = ()

    def origin(self, name: str) -> Origin:
        """Where a key such as `gpus` or `env.SEED` stands."""
        line = self.lines.get((*self.prefix, *name.split(".")), 1)
        return Origin(_LAYERS[self.rank], self.rank, self.file, line)


def config_folder() -> str:
    """$AFIELD_CONFIG_DIR, else the user's configuration folder by the XDG rules."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.environ.get("AFIELD_CONFIG_DIR") or os.path.join(base, "afield")


def names(root: Path | None, chosen: str = "") -> Iterator[str]:
    """The files of a workspace and of the user, highest first; they need not exist. `chosen` is the project's, if any.

    Raises UsageError when there is no such file.
    """
    if chosen:
        if not os.path.isfile(chosen):
            raise UsageError(f"there is no file {chosen}", why="--file names the settings of this call")
        yield os.path.join(root or os.path.dirname(chosen), "afield.local.toml")
        yield chosen
    elif root is not None:
        project = os.path.join(root, "afield.toml")
        yield os.path.join(root, "afield.local.toml")
        yield project if os.path.exists(project) else os.path.join(root, "pyproject.toml")
    yield os.path.join(config_folder(), "config.toml")


def read(file: str, rank: int) -> Layer | None:
    """The settings in a file; None for one that is not there or says nothing. Raises UsageError with the line."""
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read", why=str(error)) from error
    if os.path.basename(file) != "pyproject.toml":
        return Layer(file, rank, _toml(text, file), _lines(text))
    # Most projects say nothing about us in a file that may be long.
    if "afield" not in text:
        return None
    found = _toml(text, file).get("tool", {})
    found = found.get("afield", {}) if isinstance(found, dict) else {}
    layer = Layer(file, rank, found if isinstance(found, dict) else {}, _lines(text), ("tool", "afield"))
    if not isinstance(found, dict):
        raise UsageError(f"{layer.origin('')}: tool.afield is no table", hints=["[tool.afield]"])
    return layer


def _toml(text: str, file: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 2.5 ms that only those with a file pay

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else text.count("\n") + 1
        raise UsageError(f"{file}:{line}: this is not valid TOML", why=str(error)) from error


def _lines(text: str) -> dict[tuple[str, ...], int]:
    # The library's reader gives no lines; this is right for files as people write them, and only used to point there.
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match is None:
            continue
        names = tuple(part.strip(" '\"") for part in (match["table"] or match["key"]).split("."))
        path = names if match["table"] else table + names
        if match["table"]:
            table = names
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], number)
    return found
