"""Nodes as hosts for whatever speaks ssh, such as an editor: a file of ours, and a line in the user's that includes it.

What ssh needs to reach a node it says itself (`ssh -G`): those settings of a node's target are written down that not
every host has.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from afield.config import config_folder
from afield.errors import AfieldError

FILE = "ssh_config"
SAYS = "# afield: nodes as hosts; `afield node ssh-config --remove` takes these two lines out"
NOBODY = "afield-nobody.invalid"
"""A host that no configuration names: what it gets, everybody gets."""

_ALWAYS = ("hostname", "user")
_NAMES = ("host", "originalhost")
_PATHS = ("identityfile", "certificatefile")


def text(nodes: Iterable[Mapping[str, Any]]) -> str:
    """The file: a block for each node that ssh reaches."""
    config = os.environ.get("AFIELD_SSH_CONFIG")
    common = set(_resolved(NOBODY, config))
    blocks = [_block(node["name"], node["target"], config, common) for node in nodes if node["backend"] == "ssh"]
    return "\n".join(
        ["# Written by afield; nodes that come later are added by `afield node ssh-config --install`.", *blocks]
    )


def _block(name: str, target: str, config: str | None, common: set[tuple[str, str]]) -> str:
    lines = [f"\nHost {name}"]
    for key, value in _resolved(target, config):
        if key in _NAMES or (key not in _ALWAYS and (key, value) in common):
            continue
        lines.append(f"    {key} {_quoted(key, value)}")
    return "\n".join(lines) + "\n"


def _quoted(key: str, value: str) -> str:
    return f'"{value}"' if key in _PATHS and " " in value else value


def _resolved(target: str, config: str | None) -> list[tuple[str, str]]:
    argv = ["ssh", *(["-F", config] if config else []), "-G", "--", target]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise AfieldError(f"ssh does not say how it reaches {target}", why=said.strip()) from error
    pairs = (line.partition(" ")[::2] for line in done.stdout.splitlines())
    return [(key, value) for key, value in pairs]


def ours() -> Path:
    """Our file."""
    return Path(config_folder()) / FILE


def theirs() -> Path:
    """The user's file, where it really lies: many keep it elsewhere and have a link."""
    return Path(os.path.realpath(os.path.expanduser("~/.ssh/config")))


def include() -> str:
    """The line that makes the user's file read ours."""
    path = str(ours())
    return f'Include "{path}"' if " " in path else f"Include {path}"


def included() -> bool:
    """Whether the line is there."""
    path = theirs()
    return path.exists() and include() in path.read_text(errors="surrogateescape").splitlines()


def install(content: str) -> None:
    """Write our file, and the line into the user's unless it is there: at the top, where it is in no Host block."""
    _write(ours(), content)
    if included():
        return
    path = theirs()
    before = path.read_text(errors="surrogateescape") if path.exists() else ""
    _write(path, f"{SAYS}\n{include()}\n" + (f"\n{before}" if before else ""))


def remove() -> bool:
    """Take our line out of the user's file, and remove ours; whether anything was there."""
    was = included() or ours().exists()
    if included():
        path = theirs()
        lines = path.read_text(errors="surrogateescape").splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if line.rstrip("\n") == include())
        first = at - 1 if at and lines[at - 1].rstrip("\n") == SAYS else at
        after = at + 2 if at + 1 < len(lines) and not lines[at + 1].strip() else at + 1
        rest = "".join(lines[:first] + lines[after:])
        if rest:
            _write(path, rest)
        else:
            path.unlink()
    ours().unlink(missing_ok=True)
    return was


def _write(path: Path, content: str) -> None:
    """The file whole or not at all, with the mode that it had, else for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    part = path.with_name(f"{path.name}.afield-part")
    part.unlink(missing_ok=True)
    with open(part, "x", errors="surrogateescape", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(mode)
    part.replace(path)
