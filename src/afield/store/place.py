"""Where a store may lie: on a disk of this machine, in a folder of ours alone. SQLite's locks do not hold elsewhere."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from afield.errors import StoreRefused
from afield.runner.mounts import network_filesystem

_PRIVATE_BASE = Path("/var/tmp")  # noqa: S108 owner and mode of what lies in it are checked
HINT = "set AFIELD_STATE_DIR to a folder on a disk of this machine"


def place(state: str | Path, *, mounts: str | None = None, base: Path = _PRIVATE_BASE) -> Path:
    """The folder for a store that is wanted in `state`, made where it is missing, for the owner only.

    It is `state` itself unless that is on a network file system; then a folder under /var/tmp that is named by the user
    and by `state`. Raises StoreRefused when that one is not ours alone or on a network too.
    """
    wanted = Path(os.path.abspath(state))
    if network_filesystem(wanted, mounts) is None:
        _make(wanted)
        return wanted
    top = base / f"afield-{os.getuid()}"
    if (kind := network_filesystem(top, mounts)) is not None:
        raise StoreRefused(
            "there is no local disk for the store",
            why=f"{wanted} and {top} are on network file systems ({kind})",
            hints=[HINT],
        )
    name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    for folder in (top, top / "state", top / "state" / name):
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_ours(folder)
    return top / "state" / name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreRefused(f"cannot make the folder {folder}", why=str(error.strerror), hints=[HINT]) from error


def _check_ours(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StoreRefused(
            f"{folder} is not a folder of yours alone",
            why=f"owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}: others could change the store",
            hints=["remove it, or make it yours with mode 0700", HINT],
        )
