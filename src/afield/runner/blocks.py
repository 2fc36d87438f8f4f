"""A file as blocks, for both sides of a copy: what is sent of it, its sum, and the name of one that is not whole yet.

Blocks of zeros are neither sent nor summed, so that a hole stays a hole and costs nothing. Standard library only.
"""

import errno
import hashlib
import os
import struct

BLOCK = 1024 * 1024
PART = b".afpart"

_ZEROS = bytes(BLOCK)
_AT = struct.Struct(">Q")


class Sum:
    """The sum of a file's content: the same however it is cut into holes and zeros."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, offset, data):
        """The next block that holds something."""
        self._hash.update(_AT.pack(offset))
        self._hash.update(data)

    def end(self, size):
        """The sum of a file of this size, in hex; once."""
        self._hash.update(_AT.pack(size))
        return self._hash.hexdigest()


def blocks(descriptor, start, size):
    """(offset, data) of each block from `start` on that is not all zeros; ends early where the file got shorter."""
    at = start
    while at < size:
        at = max(at, _next(descriptor, at) // BLOCK * BLOCK)
        data = os.pread(descriptor, min(BLOCK, size - at), at) if at < size else b""
        if not data:
            return
        if data != (_ZEROS if len(data) == BLOCK else _ZEROS[: len(data)]):
            yield at, data
        at += len(data) if len(data) == BLOCK else BLOCK


def prefix(descriptor, size):
    """The Sum of a file's first `size` bytes, to go on with."""
    total = Sum()
    for offset, data in blocks(descriptor, 0, size):
        total.add(offset, data)
    return total


def whole(size):
    """How much of an unfinished file of this size can be gone on from."""
    return size // BLOCK * BLOCK


def part_name(name, size, mtime_ns):
    """The name, in the same folder, of the unfinished copy of one version of a file."""
    mark = hashlib.sha256(b"%d.%d.%s" % (size, mtime_ns, name)).hexdigest()[:16]
    return b".%s.%s%s" % (name[:200], mark.encode("ascii"), PART)


def is_part(name):
    """Whether this is the name of an unfinished copy."""
    return name.startswith(b".") and name.endswith(PART)


def _next(descriptor, at):
    """Where the next data begins, at or after `at`; beyond the end when only a hole is left."""
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        return 1 << 62 if error.errno == errno.ENXIO else at
