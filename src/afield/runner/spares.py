"""Copies of a workspace's pristine files: made, brought up to another tree, kept ready for the next attempts."""

import errno
import os
import time

from . import gittree
from .area import PRISTINE, READ, SPARES, Held, TreeError
from .points import around

SMALL = 4096
"""A tree whose tree objects have fewer bytes (some hundred files) is copied when asked for: spares would not pay."""

SLICE_S = 0.008
PAUSE_S = 0.003
"""Spares are filled in slices with the lock, and pauses without: who waits for the lock comes between."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RANGES = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


class Damaged(Exception):
    """A file that a job has is no longer what the index says."""


class Folder:
    """A folder of files under change; remembers which folders it made or found in it."""

    def __init__(self, path):
        self.path = path
        self._known = set()

    def create(self, path, mode):
        """An open new file in place of what was there, with its folders. Raises OSError, TreeError."""
        self.parents(path)
        full = os.path.join(self.path, path)
        rights = 0o777 if mode == gittree.PROGRAM else 0o666
        try:
            return os.open(full, _NEW, rights)
        except FileExistsError:
            os.unlink(full)
            return os.open(full, _NEW, rights)

    def link(self, path, target):
        """A link in place of what was there."""
        self.parents(path)
        full = os.path.join(self.path, path)
        try:
            os.symlink(target, full)
        except FileExistsError:
            os.unlink(full)
            os.symlink(target, full)

    def mode(self, path, program):
        """Make a file runnable or not; which users may is a matter of the umask."""
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(os.path.join(self.path, path), (0o777 if program else 0o666) & ~mask)

    def remove(self, path):
        """Remove a file and the folders that it leaves empty."""
        os.unlink(os.path.join(self.path, path))
        folder = os.path.dirname(path)
        while folder:
            try:
                os.rmdir(os.path.join(self.path, folder))
            except OSError:
                return
            self._known.discard(folder)
            folder = os.path.dirname(folder)

    def parents(self, path):
        """Make the folders above a path; none of them may be a link."""
        folder = os.path.dirname(path)
        if folder in self._known:
            return
        if folder:
            self.parents(folder)
        full = os.path.join(self.path, folder) if folder else self.path
        try:
            os.mkdir(full, 0o777)
        except FileExistsError:
            if os.path.islink(full) or not os.path.isdir(full):
                raise TreeError("bad-delta", "a file is where a folder should be", repr(folder))
        self._known.add(folder)


class Source:
    """Where copies come from. Files that a job may have changed (`lent`) are hashed on the way."""

    def __init__(self, path, lent):
        self.path = path
        self.lent = lent

    def copy(self, path, entry, folder):
        """Bring one file or link into `folder`. Raises OSError, Damaged."""
        mode, name = entry
        full = os.path.join(self.path, path)
        if mode == gittree.LINK:
            target = os.readlink(full)
            if self.lent and gittree.name_of(b"blob", target) != name:
                raise Damaged(path)
            folder.link(path, target)
            return
        source = os.open(full, _OLD)
        try:
            target = folder.create(path, mode)
            try:
                if self.lent:
                    _copy_checked(source, target, name)
                else:
                    _copy(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)


def source_of(area, held):
    """The source for copies of what is held."""
    return Source(held.lent or area.place(PRISTINE), held.lent is not None)


def bring(folder, source, differences):
    """Bring a folder from one tree to another: removals first. Raises OSError, Damaged."""
    differences = list(differences)
    for path, old, _ in differences:
        if old is not None:
            folder.remove(path)
    for path, _, new in differences:
        if new is not None:
            source.copy(path, new, folder)


def restore(area, held):
    """Bring pristine back from the job that was given its files; None when that job has changed them."""
    area.discard(PRISTINE + b".new")
    folder = Folder(area.place(PRISTINE + b".new"))
    try:
        folder.parents(b"x")
        bring(folder, source_of(area, held), gittree.differences(gittree.Nothing, held.tree))
    except (OSError, Damaged) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        area.discard(PRISTINE + b".new")
        area.discard(PRISTINE)
        return None
    area.forget(PRISTINE)
    with around("tree.restore"):
        os.rename(folder.path, area.place(PRISTINE))
    whole = Held(held.tree)
    area.keep(PRISTINE, whole)
    return whole


def refill(area):
    """Bring pristine back where a job has it, make or bring up to date two spares, remove rubbish. One at a time."""
    try:
        with area.lock(0, b"refill.lock"):
            with area.lock():
                held = area.held(PRISTINE)
                if held is not None and held.lent is not None:
                    held = restore(area, held)
                small = held is None or held.tree.size < SMALL
            for name in () if small else SPARES:
                _fill(area, name)
            area.sweep()
    except TreeError as error:
        if error.code != "tree-busy":
            raise


def _fill(area, name):
    """Make or bring up to date one spare in slices, following pristine where that changes meanwhile."""
    with area.lock():
        spare = area.held(name)
        if spare is not None and area.names(PRISTINE) == spare.tree.hash:
            return
        if spare is None:
            area.discard(name)
        area.forget(name)
    work = _Filling(area, name, spare.tree if spare is not None else gittree.Tree())
    while True:
        with area.lock():
            if not work.go_on():
                return
        time.sleep(PAUSE_S)


class _Filling:
    """One spare being filled: `tree` is what it holds, `left` what it still lacks."""

    def __init__(self, area, name, tree):
        self._area = area
        self._name = name
        self._folder = Folder(area.place(name))
        self._tree = tree
        self._done = {}
        self._left = []
        self._source = None
        self._version = None

    def go_on(self):
        """One slice; whether there is more to do."""
        version = self._area.version(PRISTINE)
        if version != self._version or version is None:
            held = self._area.held(PRISTINE)
            if held is None or held.lent is not None:
                self._area.discard(self._name)
                return False
            self._plan(held, version)
        until = time.monotonic() + SLICE_S
        while self._left:
            path, new = self._left.pop()
            if new is None:
                self._folder.remove(path)
            else:
                self._source.copy(path, new, self._folder)
            self._done[path] = new
            if time.monotonic() >= until:
                break
        if not self._left:
            self._settle()
            self._folder.parents(b"x")
            self._area.keep(self._name, Held(self._tree))
        return bool(self._left)

    def _plan(self, held, version):
        self._settle()
        self._version = version
        self._source = source_of(self._area, held)
        differing = list(gittree.differences(self._tree, held.tree))
        self._left = [(path, new) for path, _, new in differing if new is not None]
        self._left += [(path, None) for path, old, _ in differing if old is not None]

    def _settle(self):
        self._tree.update(self._done)
        self._done = {}


def _copy(source, target):
    # Some Pythons and file systems lack ranges, and some answer 0 too soon: the plain way has the last word.
    try:
        while _copy_range is not None and _copy_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in _NO_RANGES:
            raise
    while True:
        data = os.read(source, READ)
        if not data:
            return
        write(target, data)


_copy_range = getattr(os, "copy_file_range", None)


def _copy_checked(source, target, name):
    digest = gittree.hasher(b"blob", os.fstat(source).st_size)
    while True:
        data = os.read(source, READ)
        if not data:
            break
        digest.update(data)
        write(target, data)
    if digest.digest() != name:
        raise Damaged(name)


def write(descriptor, data):
    """All of the data, however many calls it takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
