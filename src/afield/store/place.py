"""Where a store may lie: on a disk of this machine, in a folder of ours alone. SQLite's locks do not hold elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from afield.errors import StoreRefused

# fmt: off
_NETWORK = frozenset({
    "9p", "acfs", "afpfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "wekafs",
})
# fmt: on
# fmt: off
_NETWORK_FUSE = frozenset({
    "afpfs", "beegfs", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "goofys", "gvfsd-fuse", "juicefs",
    "kbfsfuse", "mfs", "moosefs", "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs", "wekafs",
})
# fmt: on
PRIVATE_BASE = Path("/var/tmp")  # noqa: S108 owner and mode of what lies in it are checked
HINT = "set AFIELD_STATE_DIR to a folder on a disk of this machine"


def network_filesystem(path: str | Path, mounts: str | None = None) -> str | None:
    """The type of the network file system that a path is on, such as `nfs4`; None for a local one.

    `mounts` is a text like that of /proc/self/mounts, which is read when it is not given. What does not exist yet
    counts as lying where its nearest existing parent does.
    """
    if mounts is None:
        mounts = _mounts()
    target = os.path.realpath(path)
    best, found = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _unescape(fields[1]).rstrip("/")
        # Of several mounts on one point the last one covers the others.
        if (target == point or target.startswith(point + "/")) and len(point) >= best:
            best, found = len(point), fields[2]
    return found if _is_network(found) else None


def place(state: str | Path, *, mounts: str | None = None, base: Path = PRIVATE_BASE) -> Path:
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


def _is_network(kind: str) -> bool:
    head, _, tail = kind.partition(".")
    return kind in _NETWORK or (head == "fuse" and tail in _NETWORK_FUSE)


def _mounts() -> str:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


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
