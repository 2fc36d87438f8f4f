"""News about folders from the kernel; ctypes is loaded only when the first folder is watched."""

import errno
import os
import struct

MODIFY = 0x2
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
OVERFLOW = 0x4000
_MASK = MODIFY | MOVED_TO | CREATE | DELETE
_ONLY_FOLDER = 0x01000000
_EVENT = struct.Struct("iIII")


class Inotify:
    """One kernel queue. `descriptor` is -1 where the kernel gives none: the caller then looks for itself."""

    def __init__(self):
        self.descriptor = -1
        self._libc = None

    def start(self):
        """Open the queue; whether there is one."""
        if self._libc is None:
            import ctypes

            self._libc = ctypes.CDLL(None, use_errno=True)
            self._errno = ctypes.get_errno
            if hasattr(self._libc, "inotify_init1"):
                self.descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return self.descriptor >= 0

    def add(self, path):
        """A number for a folder to hear of; None when it is not there. Raises OSError when the kernel has no room."""
        number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(path), _MASK | _ONLY_FOLDER)
        if number >= 0:
            return number
        code = self._errno()
        if code in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise OSError(code, os.strerror(code), path)

    def remove(self, number):
        """Hear no more of a folder; it may be gone already."""
        self._libc.inotify_rm_watch(self.descriptor, number)

    def read(self):
        """What happened: [(number, mask, name)]; the number is -1 when news were lost."""
        try:
            data = os.read(self.descriptor, 64 * 1024)
        except BlockingIOError:
            return []
        events = []
        at = 0
        while at < len(data):
            number, mask, _, size = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            events.append((number, mask, os.fsdecode(data[at : at + size].rstrip(b"\0"))))
            at += size
        return events
