"""Where the controller of one store keeps its things on this machine. Every command pays for these imports: few."""

from __future__ import annotations

import hashlib
import os
import stat

from afield.errors import NotAllowed, UsageError

SOCKET_PATH_LIMIT = 107
"""The kernel's limit for the path of a Unix socket, in bytes."""


class Folders:
    """The paths of one controller: its state, and its door in the runtime folder, named by the state's path."""

    __slots__ = ("cache", "gate", "lock", "log", "runtime", "socket", "state", "token")

    def __init__(self, state: str | None = None) -> None:
        self.state = os.path.abspath(state or state_folder())
        self.cache = os.path.abspath(cache_folder())
        self.runtime = os.path.join(_runtime_base(), "afield")
        door = os.path.join(self.runtime, hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16])
        self.socket = f"{door}.sock"
        self.token = f"{door}.token"
        self.gate = f"{door}.gate"
        self.lock = os.path.join(self.state, "server.lock")
        self.log = os.path.join(self.state, "server.log")

    def make(self) -> None:
        """Create what is missing, for the owner only. Raises NotAllowed when the runtime folder is somebody else's."""
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        for folder in (os.path.dirname(self.runtime), self.runtime):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        self.check()
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LIMIT:
            raise UsageError(
                f"the path of the socket is too long: {self.socket}",
                why=f"a Unix socket's path has at most {SOCKET_PATH_LIMIT} bytes",
                hints=["set AFIELD_RUNTIME_DIR to a shorter folder"],
            )

    def check(self) -> None:
        """Raises NotAllowed unless the runtime folder and the one above it, where they exist, are ours alone."""
        for folder, foreign in ((os.path.dirname(self.runtime), 0o022), (self.runtime, 0o077)):
            try:
                found = os.lstat(folder)
            except FileNotFoundError:
                return
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & foreign:
                raise NotAllowed(
                    f"{folder} is not a folder of yours alone",
                    why=f"owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}: others could pose as afield",
                    hints=["remove it, or set AFIELD_RUNTIME_DIR to a folder of yours with mode 0700"],
                )


def state_folder() -> str:
    """$AFIELD_STATE_DIR, else the user's state folder by the XDG rules."""
    return os.environ.get("AFIELD_STATE_DIR") or os.path.join(
        os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "afield"
    )


def cache_folder() -> str:
    """$AFIELD_CACHE_DIR, else the user's cache folder by the XDG rules."""
    return os.environ.get("AFIELD_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "afield"
    )


def _runtime_base() -> str:
    """$AFIELD_RUNTIME_DIR, else the session's runtime folder, else one of our own."""
    if "AFIELD_RUNTIME_DIR" in os.environ:
        return os.path.abspath(os.environ["AFIELD_RUNTIME_DIR"])
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK):
        return given
    return f"/tmp/afield-{os.getuid()}"  # noqa: S108 owner and mode are checked before use
