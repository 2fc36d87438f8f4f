"""Which file system a path of this machine is on: one of a network keeps no locks for us, and is slow."""

from __future__ import annotations

import os
import re
from pathlib import Path

# fmt: off
_NETWORK = frozenset({
    "9p", "acfs", "afpfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "wekafs",
})
_NETWORK_FUSE = frozenset({
    "afpfs", "beegfs", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "goofys", "gvfsd-fuse", "juicefs",
    "kbfsfuse", "mfs", "moosefs", "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs", "wekafs",
})
# fmt: on


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
