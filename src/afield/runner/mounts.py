"""Which file system a path is on: one of a network keeps no locks for us, and is slow. For nodes and this machine."""

import os
import re

# fmt: off
NETWORK = frozenset([
    "9p", "acfs", "afpfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "wekafs",
] + ["fuse." + kind for kind in (
    "afpfs", "beegfs", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "goofys", "gvfsd-fuse", "juicefs",
    "kbfsfuse", "mfs", "moosefs", "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs", "wekafs",
)])
# fmt: on


def network_filesystem(path, mounts=None):
    """The type of the network file system that a path is on, such as `nfs4`; None for a local one.

    `mounts` is a text like that of /proc/self/mounts, which is read when it is not given. What does not exist yet
    counts as lying where its nearest existing parent does.
    """
    kind = kind_of(path, listed() if mounts is None else mounts)
    return kind if kind in NETWORK else None


def kind_of(path, mounts):
    """The type of the file system that a path is on; "" when `mounts` does not tell."""
    target = os.path.realpath(path)
    best, found = -1, ""
    for line in mounts.split("\n"):
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _plain(fields[1]).rstrip("/")
        # Of several mounts on one point the last one covers the others.
        if (target == point or target.startswith(point + "/")) and len(point) >= best:
            best, found = len(point), fields[2]
    return found


def listed():
    """The mounts as the kernel lists them; "" where it does not."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _plain(point):
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), point)
