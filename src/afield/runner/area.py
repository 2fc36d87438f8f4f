"""One workspace's trees on a node: the pristine copy, the spares, their indexes and the lock.

A folder without its index is rubbish. The index goes away before the first change and is written last. Nothing here is
synced: an index names the boot it was written in, and after another boot the files are hashed before they are believed.
"""

import errno
import fcntl
import json
import os
import stat
import time

from . import gittree
from .bootid import boot_id
from .files import remove
from .points import around
from .refusal import Refusal

PRISTINE = b"pristine"
SPARES = (b"spare.0", b"spare.1")
PATIENCE_S = 60.0
READ = 1024 * 1024


class TreeError(Refusal):
    """The tree cannot be brought or handed out."""


class Held:
    """A copy that is known: its tree, and where its files lie when a job has them (`lent`), else None."""

    __slots__ = ("lent", "tree")

    def __init__(self, tree, lent=None):
        self.tree = tree
        self.lent = lent


class Area:
    """The folder w/WORKSPACE of one store."""

    def __init__(self, store, workspace):
        if not workspace or not workspace.isalnum():
            raise TreeError("bad-request", "not a workspace", repr(workspace))
        self.path = os.path.join(os.fsencode(store), b"w", workspace.encode("ascii"))

    def place(self, name):
        """The folder of a copy."""
        return os.path.join(self.path, name)

    def lock(self, patience_s=PATIENCE_S, name=b"lock"):
        """The workspace's kernel lock, to be used with `with`. Raises TreeError `tree-busy` after `patience_s`."""
        if not os.path.isdir(self.path):
            os.makedirs(self.path, 0o700, exist_ok=True)
        return Lock(os.path.join(self.path, name), patience_s)

    def used(self):
        """Note that an attempt takes code from here now: what was used longest ago goes first when room is short."""
        os.utime(self.place(b"lock"))

    def held(self, name):
        """The copy of this name when its index is whole and of this boot, or its files are proven now; else None."""
        found = self._index(name)
        if found is None:
            return None
        head, tree = found
        lent = os.fsencode(head["lent"]) if head["lent"] else None
        held = Held(tree, lent)
        if head["boot"] != boot_id() and lent is None:
            if not same_files(self.place(name), tree):
                self.discard(name)
                return None
            self.keep(name, held)
        return held

    def names(self, name):
        """The hash of the tree that a copy holds, without reading it whole; None when there is no such copy."""
        head = self._head(name)
        return head and head["tree"]

    def version(self, name):
        """Something that changes when an index changes; None when there is none."""
        try:
            found = os.stat(self.place(name) + b".index")
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def keep(self, name, held):
        """Write a copy's index: from now on it counts."""
        head = {"tree": held.tree.hash, "boot": boot_id(), "lent": held.lent and os.fsdecode(held.lent)}
        path = self.place(name) + b".index"
        part = path + b".part"
        with open(part, "wb") as file:
            file.write(json.dumps(head).encode("ascii") + b"\n" + held.tree.dump())
        with around("tree.keep"):
            os.rename(part, path)

    def forget(self, name):
        """Remove an index: its files no longer count."""
        try:
            with around("tree.forget"):
                os.unlink(self.place(name) + b".index")
        except FileNotFoundError:
            pass

    def discard(self, name):
        """A copy is rubbish: out of the way now, removed by `sweep`."""
        self.forget(name)
        trash = self.place(b"trash.%d.%d" % (os.getpid(), time.monotonic_ns()))
        try:
            with around("tree.discard"):
                os.rename(self.place(name), trash)
        except FileNotFoundError:
            pass

    def sweep(self):
        """Remove what was discarded."""
        for name in os.listdir(self.path):
            if name.startswith(b"trash."):
                remove(self.place(name))

    def _head(self, name):
        try:
            with open(self.place(name) + b".index", "rb") as file:
                return json.loads(file.readline())
        except (FileNotFoundError, ValueError):
            return None

    def _index(self, name):
        try:
            with open(self.place(name) + b".index", "rb") as file:
                head = json.loads(file.readline())
                tree = gittree.load(file.read())
        except FileNotFoundError:
            return None
        except ValueError:
            self.discard(name)
            return None
        if tree.hash != head["tree"]:
            self.discard(name)
            return None
        return head, tree


class Lock:
    """A kernel lock on a file. Released by hand, because a fork of the holder would hold it too."""

    def __init__(self, path, patience_s):
        self._path = path
        self._patience_s = patience_s
        self._descriptor = -1

    def __enter__(self):
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > until:
                    os.close(descriptor)
                    raise TreeError("tree-busy", "the node is busy with this workspace's code", str(error))
                time.sleep(0.001)
                continue
            self._descriptor = descriptor
            return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        """Let go; does nothing when it is not held."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1


def same_files(folder, tree):
    """Whether a folder holds exactly the files of a tree, byte for byte."""
    expected = dict(gittree.files(tree))
    try:
        for path, status in _walk(folder, b""):
            entry = expected.pop(path, None)
            if entry is None or entry != entry_of(os.path.join(folder, path), status):
                return False
    except OSError:
        return False
    return not expected


def entry_of(path, status):
    """The entry of a file or link as it is now; None for anything else. Raises OSError."""
    if stat.S_ISLNK(status.st_mode):
        return gittree.LINK, gittree.name_of(b"blob", os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return None
    digest = gittree.hasher(b"blob", status.st_size)
    with open(path, "rb", buffering=0) as file:
        while True:
            data = file.read(READ)
            if not data:
                break
            digest.update(data)
    return gittree.PROGRAM if status.st_mode & 0o100 else gittree.FILE, digest.digest()


def _walk(folder, prefix):
    with os.scandir(os.path.join(folder, prefix)) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder, prefix + entry.name + b"/")
            else:
                yield prefix + entry.name, entry.stat(follow_symlinks=False)
