"""Functions and arguments as bytes that another Python of the same minor version can load; what cannot be is said."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from afield.errors import UsageError

LIMIT = 64 * 1024 * 1024
"""So many bytes may the arguments of one call have, and so many what it gives."""


class Unpicklable(UsageError):
    """Something cannot be sent to a job: it cannot be pickled, or it is too large."""

    code = "unpicklable"


def pack_function(function: Callable[..., Any], root: Path) -> bytes:
    """A function as a job of the workspace at `root` reads it: a line of JSON, then the pickle. Raises Unpicklable."""
    head = {
        "python": list(sys.version_info[:2]),
        "cloudpickle": cloudpickle.__version__,
        "path": _places(root),
        "limit": LIMIT,
    }
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    with _by_value(module) if module is not None and not _found_there(module, root) else nullcontext():
        what = f"the function {getattr(function, '__qualname__', type(function).__qualname__)}"
        data = _dumps(function, what)
    _check_size(data, f"{what}, with what it holds,")
    return json.dumps(head).encode("ascii") + b"\n" + data


def pack_arguments(given: Sequence[Any], named: Mapping[str, Any]) -> bytes:
    """The arguments of one call. Raises Unpicklable, which names the argument that cannot be pickled."""
    try:
        data: bytes = cloudpickle.dumps((tuple(given), dict(named)))
    except Exception:
        for number, value in enumerate(given, 1):
            _dumps(value, f"argument number {number}")
        for name, value in named.items():
            _dumps(value, f"argument {name}")
        raise
    _check_size(data, "what the arguments hold")
    return data


def python() -> str:
    """Our version of Python, as the setting `python` wants it."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _check_size(data: bytes, what: str) -> None:
    if len(data) > LIMIT:
        raise Unpicklable(
            f"{what} is too large to be sent: {len(data):,} bytes",
            why=f"{LIMIT:,} are the most",
            hints=["put the data into a file, and read it in the function"],
        )


def _dumps(value: object, what: str) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise Unpicklable(
            f"{what} cannot be sent to a job",
            why=f"{type(error).__name__}: {error}",
            hints=["make locks, open files and connections inside the function"],
        ) from error
    return data


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    """What the module defines travels whole, not by its name; undone after unless the user said so before."""
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _places(root: Path) -> list[str]:
    """Where we import from, as far as it is in the workspace, relative to its root."""
    found = []
    for entry in sys.path:
        place = Path(os.path.realpath(entry or "."))
        if place.is_relative_to(root) and place.is_dir() and not _installs(place):
            found.append(place.relative_to(root).as_posix())
    return list(dict.fromkeys(found))


def _found_there(module: ModuleType, root: Path) -> bool:
    """Whether the job can import the module too: it lies in the workspace, or was installed."""
    name = getattr(module, "__file__", None)
    if name is None:
        return True
    place = Path(os.path.realpath(name))
    return place.is_relative_to(root) or _installs(place)


def _installs(place: Path) -> bool:
    libraries = {
        os.path.realpath(path) for key, path in sysconfig.get_paths().items() if key.endswith(("lib", "stdlib"))
    }
    return any(place.is_relative_to(library) for library in libraries)
