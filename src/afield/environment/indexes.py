"""Which package indexes builds use, as hosts: what a node without internet may reach through us, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from afield.environment.tree import normal
from afield.environment.uv import binary

_URL = re.compile(rb"https://[^\s\"'<>\\,;|)\]]+")
_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_WITHIN_S = 10.0
_READ_BYTES = 1024 * 1024
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_COMMON = "pip"
"""A package that a whole index has: its page shows where that index keeps its files."""

Host = tuple[str, int]


def configured(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The indexes of this machine: those in uv's variables and settings, the default one first.

    Without a default of the user's own it is uv's, in the words of the uv that came with afield.
    """
    found = [url for name in _SETTINGS for url in re.split(r"[\s,]+", environ.get(name, "")) if url]
    found = [url.partition("=")[2] if re.match(r"[\w-]+=", url) else url for url in found]
    own = os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "uv", "uv.toml")
    try:
        with open(own, "rb") as file:
            found += [url.decode("utf-8", "replace") for url in _URL.findall(file.read())]
    except OSError:
        pass
    if not any(environ.get(name) for name in _SETTINGS[:2]):
        found += _uvs_own()
    return [url for url in dict.fromkeys(found) if url.startswith("https://")]


@lru_cache(maxsize=1)
def _uvs_own() -> list[str]:
    text = subprocess.run([binary()[1], "pip", "install", "--help"], capture_output=True, check=True).stdout
    default = re.search(rb"--default-index <[^>]*>[^<]*<(https://[^>\s]+)>", text)
    return [default[1].decode()] if default else []


def allowed(indexes: Iterable[str], named: Iterable[str], packages: Iterable[str]) -> frozenset[Host]:
    """The hosts of these indexes, of their files, and those that the environment's definition names.

    Asks each index once where its files are; one that does not answer keeps them itself. Blocks for seconds at most.
    """
    hosts = {found for url in indexes if (found := _host(url))}
    hosts |= {(name.rpartition(":")[0], int(name.rpartition(":")[2])) for name in named}
    package = next((normal(line) for line in packages if not line.startswith(".")), _COMMON)
    for url in indexes:
        hosts |= _files(url, package)
    return frozenset(hosts)


def public(indexes: list[str]) -> str:
    """The default index for a node to use; "" when it carries a password, which stays here."""
    return indexes[0] if indexes and "@" not in urlsplit(indexes[0]).netloc else ""


def _files(index: str, package: str) -> set[Host]:
    request = urllib.request.Request(f"{index.rstrip('/')}/{package}/", headers={"Accept": _ACCEPT})
    try:
        with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:
            data = answer.read(_READ_BYTES)
    except (OSError, ValueError):
        return set()
    links = re.findall(rb"(?:\"url\":\s*|href=)\"(https://[^\"]+)\"", data)
    return {found for link in links if (found := _host(link.decode("utf-8", "replace")))}


def _host(url: str) -> Host | None:
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port or 443) if parts.hostname else None
    except ValueError:
        return None
