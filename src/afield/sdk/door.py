"""Finds the server of one store, or starts it; replaces one of another build. Nobody has to know that it exists."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from contextlib import contextmanager

from afield.build import build, on_disk, release
from afield.errors import Unreachable, UsageError
from afield.folders import Folders
from afield.sdk.http import HELLO_S, Connection, Gone

TYPE_CHECKING = False  # read by type checkers as true; every command would pay for loading typing
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import Popen
    from typing import IO, Any

API = 1
START_S = 60.0
LEAVE_S = 20.0
LOOK_S = 0.02
LOG_LINES = 15

_children: list[Popen[bytes]] = []
"""Servers that this process started, so that one that leaves is reaped."""


class Door:
    """The way to one store's server. `command` starts a server there; it is given `--state DIR`."""

    def __init__(self, folders: Folders | None = None, command: Sequence[str] = ()) -> None:
        self.folders = folders or Folders()
        self._command = list(command) or [sys.executable, "-P", "-m", "afield.server"]
        self._settled = False

    def open(self) -> Connection:
        """A connection to a server that speaks our API, started or replaced when needed.

        Ours is the build that runs here, and the one on the disk: a program that was started before an upgrade does
        not undo it. After the first time any server of the same API will do.
        Raises UsageError when the server is newer than we are, Unreachable when none can be had.
        """
        connection = self.knock()
        if connection is None or not self._fits(connection):
            connection = self._through_gate()
        self._settled = True
        return connection

    def knock(self) -> Connection | None:
        """A connection to the server that runs now, whichever build it is; None when none is there.

        Raises Unreachable when one is there and does not say a word.
        """
        self.folders.check()
        try:
            return _reach(self.folders.socket, self.folders.token) or self._elsewhere()
        except TimeoutError as error:
            pid = _read(self.folders.lock).get("pid", "?")
            raise Unreachable(
                f"afield's server (process {pid}) is there and does not answer",
                why=f"it took the connection and was silent for {HELLO_S:.0f} s",
                hints=[f"kill -9 {pid}    no job is touched; the next command starts another"],
            ) from error

    def wait_gone(self, within_s: float = LEAVE_S) -> bool:
        """Whether the server has let go of its store within so many seconds."""
        deadline = time.monotonic() + within_s
        while _held(self.folders.lock):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True

    def _elsewhere(self) -> Connection | None:
        """A server that was started where the runtime folder is another one: its lock file says where."""
        told = _read(self.folders.lock)
        if told.get("socket", self.folders.socket) == self.folders.socket or not _held(self.folders.lock):
            return None
        return _reach(str(told["socket"]), str(told.get("token", "")))

    def _fits(self, connection: Connection) -> bool:
        told = connection.told
        theirs = str(told["build"])
        if self._settled and told["api"] == API:
            return True
        if told["api"] > API or release(theirs) > release(build()):
            ours = build().partition("+")[0]
            raise UsageError(
                f"this afield ({ours}) is older than the one that runs your jobs ({told['version']})",
                hints=["upgrade this one", f"or let the newer one leave first: kill {told['pid']}"],
            )
        return theirs == build() or theirs == on_disk()

    def _through_gate(self) -> Connection:
        """Start or replace the server; of many callers at once one does it and the others find its work."""
        self.folders.make()
        with _gate(self.folders.gate):
            connection = self.knock()
            if connection is not None:
                if self._fits(connection):
                    return connection
                self._ask_to_leave(connection)
            return self._start()

    def _ask_to_leave(self, connection: Connection) -> None:
        told = connection.told
        try:
            connection.call("POST", "/v1/leave")
        except Gone:
            pass
        finally:
            connection.close()
        if not self.wait_gone():
            raise Unreachable(
                f"the server of another build (process {told['pid']}) does not leave",
                why=f"it still held {self.folders.lock} after {LEAVE_S:.0f} s",
                hints=[f"kill {told['pid']}    no job is touched"],
            )

    def _start(self) -> Connection:
        begin = _size(self.folders.log)
        deadline = time.monotonic() + START_S
        child: Popen[bytes] | None = None
        while time.monotonic() < deadline:
            connection = self.knock()
            if connection is not None:
                return connection
            if child is not None and child.poll():
                break
            if (child is None or child.poll() == 0) and not _held(self.folders.lock):
                child = self._spawn()
            time.sleep(LOOK_S)
        raise Unreachable(
            "afield's server does not start",
            why="\n".join(_tail(self.folders.log, begin)) or f"no answer within {START_S:.0f} s",
            hints=[f"its log is {self.folders.log}", f"run it by hand: {' '.join(self._command)}"],
        )

    def _spawn(self) -> Popen[bytes]:
        import subprocess  # noqa: PLC0415 only a start needs it, and every command would pay

        _children[:] = [c for c in _children if c.poll() is None]
        places = {"AFIELD_RUNTIME_DIR": os.path.dirname(self.folders.runtime), "AFIELD_CACHE_DIR": self.folders.cache}
        with open(self.folders.log, "ab", opener=_private) as log:
            child = subprocess.Popen(
                [*self._command, "--state", self.folders.state],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **places},
                start_new_session=True,
            )
        _children.append(child)
        return child


def _reach(socket: str, token: str) -> Connection | None:
    try:
        if os.stat(socket).st_uid != os.getuid():
            return None
        connection = Connection(socket)
        connection.connect()
        with open(token, encoding="ascii") as file:
            connection.token = file.read()
        connection.hello()
    except TimeoutError:
        raise
    except (OSError, Gone):
        return None
    return connection


@contextmanager
def _gate(path: str) -> Iterator[None]:
    deadline = time.monotonic() + START_S + LEAVE_S
    with open(path, "ab", opener=_private) as file:
        while not _lock(file):
            if time.monotonic() > deadline:
                raise Unreachable("another afield command has been starting the server for too long", why=path)
            time.sleep(LOOK_S)
        yield


def _held(path: str) -> bool:
    try:
        with open(path, "rb+") as file:
            return not _lock(file)
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _tail(path: str, begin: int) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(begin)
            return file.read().splitlines()[-LOG_LINES:]
    except OSError:
        return []
