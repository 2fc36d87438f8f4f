"""The runner as it travels: all its modules in one compressed, deterministic bundle, named by its digest.

With it, below `lib/`, goes what jobs may import: our `afield` for jobs, and the cloudpickle that is installed here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Bundle:
    """`data` as sent, `digest` (sha256, hex) of it, and `boot`, the one line of Python that unpacks it."""

    data: bytes
    digest: str
    boot: bytes


_PLACES = {
    "shim.py": "lib/afield/__init__.py",
    "call.py": "lib/afield_call.py",
    "execute.py": "lib/afield_execute.py",
    "serve.py": "lib/afield_serve.py",
}
"""Modules for jobs that have another name there."""


@cache
def bundle() -> Bundle:
    """The bundle of the installed package; read once, whatever an upgrade does to the files."""
    sources = _modules("afield.runner", "")
    inside = _modules("afield.inside", "lib/afield/inside/")
    for name, place in _PLACES.items():
        inside[place] = inside.pop(f"lib/afield/inside/{name}")
    sources |= inside | _modules("cloudpickle", "lib/pickle/cloudpickle/")
    text = json.dumps(sources, sort_keys=True, separators=(",", ":")).encode("ascii")
    data = zlib.compress(text, 9)
    return Bundle(data, hashlib.sha256(data).hexdigest(), _one_line(sources["boot.py"] + "main()\n"))


def _modules(package: str, place: str) -> dict[str, str]:
    """The sources of a package by their place in the bundle; nothing of it is imported but its `__init__`."""
    found = [entry for entry in files(package).iterdir() if entry.name.endswith(".py")]
    return {place + entry.name: entry.read_text("utf-8") for entry in found}


def _one_line(source: str) -> bytes:
    packed = base64.b64encode(zlib.compress(source.encode("utf-8"), 9)).decode("ascii")
    return f'import zlib,binascii;exec(zlib.decompress(binascii.a2b_base64("{packed}")))\n'.encode("ascii")
