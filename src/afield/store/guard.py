"""What keeps a store whole: one process at a time, and a clear word when the disk or the file will not do."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from afield.errors import AfieldError, Fault, StoreRefused

PATIENCE_S = 1.0
"""A child that was just forked may hold our lock until it executes its program."""


class Lock:
    """The kernel's lock on `store.lock`, held until `release`. Raises StoreRefused when another process holds it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                owner = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(self._file)
                raise StoreRefused(
                    f"the store in {path.parent} is open in another process",
                    why=f"process {owner} holds {path.name}",
                    hints=["stop the other server, or use another AFIELD_STATE_DIR"],
                ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in."""
        os.close(self._file)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say about the file into StoreRefused."""
    try:
        yield
    except DBAPIError as error:
        raise _explain(error.orig, path) from error
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except OSError as error:
        raise StoreRefused(f"the store {path} cannot be used", why=str(error.strerror or error)) from error


def _explain(error: BaseException | None, path: Path) -> AfieldError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    why = f"{getattr(error, 'sqlite_errorname', 'SQLite')}: {error}"
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path)):
        return StoreRefused(
            f"disk full: the store {path} cannot be written",
            why=why,
            hints=[f"free some space on the file system of {path.parent}; nothing that was recorded is lost"],
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreRefused(f"the store {path} is damaged", why=why, hints=["put a backup of it in its place"])
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreRefused(
            f"the store {path} cannot be written", why=why, hints=["check the owner and mode of its folder"]
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreRefused(f"the store {path} is locked by another program", why=why, hints=["close that program"])
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return StoreRefused(f"the store {path} cannot be read or written", why=why, hints=["check the disk"])
    return Fault(f"the store {path} refused a statement", why=why)


def _no_room(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_favail == 0)
