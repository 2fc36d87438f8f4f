"""Working trees for tests: made, filled, compared byte for byte."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from afield.runner import tree
from afield.snapshot.send import delta
from afield.snapshot.take import Snapshot

GIT = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder: Path, *arguments: str) -> str:
    """Run git as a user would."""
    environment = {**os.environ, **GIT}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def write(folder: Path, **files: bytes) -> None:
    """Write files given as name=bytes."""
    for name, data in files.items():
        put(folder, name, data)


def put(folder: Path, name: str | bytes, data: bytes = b"x\n", mode: int = 0o644) -> None:
    """Write one file with the folders above it."""
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def contents(folder: Path | str) -> dict[bytes, tuple[str, bytes]]:
    """Every file and link below a folder: what it is, and its bytes or target. Folders named .git are passed over."""
    found: dict[bytes, tuple[str, bytes]] = {}
    top = os.fsencode(folder)
    for place, folders, files in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = [name for name in folders if name not in links and name != b".git"]
        for name in files + links:
            path = os.path.join(place, name)
            shown = os.path.relpath(path, top)
            if os.path.islink(path):
                found[shown] = ("link", os.readlink(path))
            else:
                with open(path, "rb") as file:
                    found[shown] = ("program" if os.stat(path).st_mode & 0o100 else "file", file.read())
    return found


def apply(store: Path, cache: Path, snapshot: Snapshot, base: str | None = None) -> None:
    """Bring a snapshot to a store's folder on this machine, piece by piece."""
    pieces = list(delta(cache, snapshot.workspace, base, snapshot.tree))
    reply: dict[str, str] = {}
    for seq, piece in enumerate(pieces):
        head = {"workspace": snapshot.workspace, "base": base, "want": snapshot.tree, "seq": seq}
        reply = tree.apply_piece(str(store), {**head, "last": seq == len(pieces) - 1}, piece)
        if "have" in reply:
            break
    assert reply == {"have": snapshot.tree}


def staged(store: Path, snapshot: Snapshot, name: str, cwd: str = "") -> Path:
    """The files of an attempt, which must be there."""
    place = store / "jobs" / name / "src"
    code = {"workspace": snapshot.workspace, "tree": snapshot.tree, "cwd": cwd}
    assert tree.stage(str(store), code, str(place)) is None
    return place
