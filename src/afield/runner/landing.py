"""Takes files in on the node: each grows under a name of its own and gets the final one when it is whole and right.

One copy at a time, in the order in which its items come; what a cut leaves is gone on from by the next one.
"""

import os
import stat

from . import blocks
from .points import around
from .refusal import Refusal

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LandingError(Refusal):
    """What came cannot be kept."""


class Landing:
    """A folder that files come into. Raises OSError and LandingError."""

    def __init__(self, base):
        os.makedirs(base, 0o777, exist_ok=True)
        self._base = base
        self._head = None
        self._folder = -1
        self._file = -1
        self._sum = None

    def take(self, head, data):
        """One item: `file`, `data`, `sum`, `mode`, `link`, `dir` or `remove`.

        After an error the rest of that file, which may be on its way already, is refused: its sum says nothing of what
        could not be written.
        """
        item = {
            "file": self._begin,
            "data": self._write,
            "sum": self._finish,
            "mode": self._allow,
            "link": self._link,
            "dir": self._mark,
            "remove": self._remove,
        }[head["on"]]
        try:
            item(head, data)
        except (OSError, LandingError):
            self.close()
            raise

    def close(self):
        """Let go of what is open; an unfinished file stays for the next try."""
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1
        self._head = None

    def _begin(self, head, _):
        self.close()
        parts = _parts(head["path"])
        self._folder = _descend(self._base, parts[:-1])
        for name in head.get("stale", ()):
            _unlink(os.fsencode(name), self._folder)
        self._head = head
        self._name = parts[-1]
        self._part = blocks.part_name(self._name, head["size"], head["mtime_ns"])
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._part, flags, 0o600, dir_fd=self._folder)
        os.ftruncate(self._file, head["offset"])
        self._sum = blocks.prefix(self._file, head["offset"])

    def _write(self, head, data):
        if self._head is None:
            raise LandingError("bad-request", "data of no file")
        self._sum.add(head["offset"], data)
        left, at = memoryview(data), head["offset"]
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written

    def _finish(self, head, _):
        asked = self._head
        if asked is None:
            raise LandingError("bad-request", "the sum of no file")
        os.ftruncate(self._file, asked["size"])
        if self._sum.end(asked["size"]) != head["sum"]:
            _unlink(self._part, self._folder)
            raise LandingError("damaged", "%s arrived damaged" % asked["path"], "its sum is another one than here")
        os.fchmod(self._file, asked["mode"] & 0o777)
        os.utime(self._file, ns=(asked["mtime_ns"], asked["mtime_ns"]))
        self._refuse_folder()
        with around("data.file"):
            os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self.close()

    def _allow(self, head, _):
        """A file that is there already gets another mode."""
        self.close()
        parts = _parts(head["path"])
        self._folder = _descend(self._base, parts[:-1])
        status = _status(parts[-1], self._folder)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise LandingError("conflict", "%s is no file on the node any more" % head["path"], "it was one just now")
        os.chmod(parts[-1], head["mode"] & 0o777, dir_fd=self._folder)
        self.close()

    def _refuse_folder(self):
        status = _status(self._name, self._folder)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise LandingError("conflict", "%s is a folder on the node" % self._head["path"], "a file would replace it")

    def _link(self, head, _):
        self.close()
        parts = _parts(head["path"])
        self._folder = _descend(self._base, parts[:-1])
        self._name, self._head = parts[-1], head
        self._refuse_folder()
        made = blocks.part_name(self._name, 0, 0)  # the next try finds what a kill left
        _unlink(made, self._folder)
        os.symlink(os.fsencode(head["target"]), made, dir_fd=self._folder)
        with around("data.link"):
            os.rename(made, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self.close()

    def _mark(self, head, _):
        """A folder, made where it is missing; with its own mode and time where they are told, after all below it."""
        self.close()
        self._folder = _descend(self._base, _parts(head["path"]) if head["path"] else [])
        if head.get("mode") is not None:
            os.fchmod(self._folder, head["mode"] & 0o777 | 0o700)
            os.utime(self._folder, ns=(head["mtime_ns"], head["mtime_ns"]))
        self.close()

    def _remove(self, head, _):
        """A file or a link goes, and the folders that it leaves empty; a folder of that name stays."""
        self.close()
        parts = _parts(head["path"])
        while parts:
            try:
                self._folder = _descend(self._base, parts[:-1], make=False)
                if len(parts) == head["path"].count("/") + 1:
                    os.unlink(parts[-1], dir_fd=self._folder)
                else:
                    os.rmdir(parts[-1], dir_fd=self._folder)
            except (OSError, LandingError) as error:
                if not isinstance(error, FileNotFoundError):
                    break
            finally:
                self.close()
            parts = parts[:-1]


def _parts(path):
    parts = os.fsencode(path).split(b"/")
    if any(part in (b"", b".", b"..") for part in parts):
        raise LandingError("bad-request", "not a path below the folder", repr(path))
    return parts


def _descend(base, parts, make=True):
    """A descriptor of a folder below the base, made where it is missing; no link is followed below it."""
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            try:
                below = os.open(part, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(part, 0o777, dir_fd=folder)
                below = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                raise LandingError("conflict", "%s on the node is no folder" % os.fsdecode(part), str(error))
        finally:
            os.close(folder)
        folder = below
    return folder


def _status(name, folder):
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unlink(name, folder):
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
