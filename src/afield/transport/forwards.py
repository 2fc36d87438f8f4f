"""Forwards that hang on a connection: each leaves a note while it lives, so that the next controller can end it.

A forward of ours leads from a Unix socket in our private folder to a port or a socket of the host. A connection that a
person's login left goes on without us, and with it what hangs on it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from contextlib import suppress
from pathlib import Path

from afield.transport.reap import identity, identity_lives

_PREFIX = "f-"
_NOTE = ".to"
_WITHIN_S = 5.0


def place(to: str) -> str:
    """A port of the host, or an absolute path of a socket there, as ssh writes it."""
    return to if to.startswith("/") else f"localhost:{to}"


def note(folder: Path, control: Path, to: str) -> Path:
    """The path of a socket for a new forward, noted before it is asked for."""
    path = folder / f"{_PREFIX}{secrets.token_hex(4)}"
    told = {"owner": identity(os.getpid()), "control": str(control), "to": to}
    path.with_name(path.name + _NOTE).write_text(json.dumps(told))
    return path


def forget(path: Path) -> None:
    """The forward is no more: its socket and its note go."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + _NOTE).unlink(missing_ok=True)


def reap(folder: Path) -> int:
    """End the forwards that controllers left that were killed; how many there were."""
    ended = 0
    for path in folder.glob(f"{_PREFIX}*{_NOTE}"):
        try:
            told = json.loads(path.read_text())
            owner, control, to = told["owner"], told["control"], told["to"]
        except (OSError, ValueError, KeyError):  # a kill in the middle of the note
            owner = control = to = ""
        if owner and identity_lives(owner):
            continue
        socket = path.with_name(path.name.removesuffix(_NOTE))
        if control and os.path.exists(control):
            _cancel(control, f"{socket}:{place(to)}")
        forget(socket)
        ended += 1
    return ended


def argv(control: str | Path, order: str, *forward: str) -> list[str]:
    """An order to the connection at a control path. It reads no configuration: that may ask for forwards of its own."""
    path = str(control).replace("%", "%%")
    return ["ssh", "-F", os.devnull, "-o", f"ControlPath={path}", "-O", order, *forward]


def _cancel(control: str, forward: str) -> None:
    quiet = subprocess.DEVNULL
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [*argv(control, "cancel", "-L", forward), "--", "gone"],
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            check=False,
            timeout=_WITHIN_S,
        )
