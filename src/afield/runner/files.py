"""Files of a node for the controller: read a piece, take in uv, remove what is finished.

What a program made is not trusted: no link is followed on the way to a file or into a folder.
"""

import os
import stat

from . import wire
from .points import around

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def enter(folder, path):
    """A descriptor to read a regular file below `folder`, by no link on the way. Raises OSError, ValueError."""
    parts = path.split("/")
    if not all(parts) or ".." in parts or "." in parts:
        raise ValueError("not a path below the folder: %r" % path)
    at = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        descriptor = os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file: %r" % path)
    return descriptor


def read(folder, path, offset, length):
    """(size, bytes) of a piece of a regular file below `folder`. Raises OSError, ValueError."""
    descriptor = enter(folder, path)
    try:
        return os.fstat(descriptor).st_size, os.pread(descriptor, min(length, wire.CHUNK), offset)
    finally:
        os.close(descriptor)


def take_uv(folder, head, data):
    """Write one piece of uv; the last one makes it a program. Raises ValueError for pieces that do not fit."""
    version = head["version"]
    if not version or not all(c.isalnum() or c in ".-+" for c in version):
        raise ValueError("not a version: %r" % version)
    total = head["total"] if head.get("last") else None
    _take(folder, (".uv-%s.part" % version, "uv-" + version), head["offset"], data, total)


def take_attached(folder, head, data):
    """Write one piece of a file that a job was given; the last one names it. Raises ValueError, OSError."""
    name = head["name"]
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise ValueError("not a name: %r" % name)
    _take(folder, (".%s.part" % name, name), head["offset"], data, head["total"] if head.get("last") else None)


def _take(folder, names, offset, data, total):
    """One piece of a file, which has its temporary name until the piece that has the `total` with it."""
    os.makedirs(folder, 0o700, exist_ok=True)
    part = os.path.join(folder, names[0])
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if offset == 0 else 0)
    descriptor = os.open(part, flags, 0o700)
    try:
        if os.fstat(descriptor).st_size != offset:
            raise ValueError("piece at %d, but %d bytes are here" % (offset, os.fstat(descriptor).st_size))
        os.lseek(descriptor, offset, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if total is not None:
            _finish(descriptor, part, os.path.join(folder, names[1]), total)
    finally:
        os.close(descriptor)


def _finish(descriptor, part, path, total):
    if os.fstat(descriptor).st_size != total:
        raise ValueError("the file has %d bytes, not %d" % (os.fstat(descriptor).st_size, total))
    os.fchmod(descriptor, 0o700)
    os.fsync(descriptor)
    with around("link.uv"):
        os.rename(part, path)


def remove(folder):
    """Remove a folder with all below it, also where a program took away its own rights. Raises OSError."""
    import shutil

    def again(function, path, _):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, onerror=again)
        elif os.path.lexists(path):
            os.unlink(path)

    if os.path.isdir(folder):
        shutil.rmtree(folder, onerror=again)
