"""Harmless repairs that `afield doctor --fix` does, each by its name. None touches a job or a result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from afield.config import folders
from afield.config.secrets import Secrets
from afield.model.amount import about_bytes
from afield.snapshot.take import find_root
from afield.transport.reap import reap

if TYPE_CHECKING:
    from afield.sdk.client import Client

QUESTIONS = {
    "connections": "end the connections that a killed controller left",
    "secrets": "make the file of your secrets readable by you alone",
    "ignore": "add outputs/ to .gitignore",
    "clean": "remove ended runs, code and environments that {} keeps for speed",
}


def question(repair: str) -> str:
    """What a repair does, to be asked about."""
    name, _, about = repair.partition(":")
    return QUESTIONS[name].format(about)


def mend(repair: str, client: Client) -> str:
    """Do one repair; what was done, in words. Raises AfieldError, OSError."""
    name, _, about = repair.partition(":")
    if name == "connections":
        return f"ended {reap(Path(folders().runtime))} processes"
    if name == "secrets":
        path = Secrets().path
        os.chmod(path, 0o600)
        return f"{path} is yours alone"
    if name == "ignore":
        return _ignore()
    done = client.clean_node(about)
    return f"removed {about_bytes(done['bytes'])} on {about}"


def _ignore() -> str:
    path = find_root(Path.cwd())[0] / ".gitignore"
    before = path.read_bytes() if path.exists() else b""
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    with path.open("ab") as file:
        file.write(gap + b"outputs/\n")
    return f"outputs/ is in {path}"
