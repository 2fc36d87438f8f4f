"""How the follower looks at files that others write: sizes, names, pieces. A simulator looks at files of its own."""

import os

_PIECE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Disk:
    """The files of this machine."""

    @staticmethod
    def size(path):
        """The size of a file in bytes; None when it cannot be had."""
        try:
            return os.stat(path).st_size
        except OSError:
            return None

    @staticmethod
    def names(path):
        """The sorted names in a folder; none when it cannot be read."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    @staticmethod
    def piece(path, begin, length):
        """At most `length` bytes of a file from `begin` on; None when it cannot be opened, or is a link."""
        try:
            descriptor = os.open(path, _PIECE)
        except OSError:
            return None
        try:
            return os.pread(descriptor, length, begin)
        finally:
            os.close(descriptor)
