"""Code on a node: takes delta streams into the pristine copy, and gives each attempt files of its own.

The tree's hash is computed again from the bytes as received, so that what is kept is what was sent.
"""

import errno
import os

from . import delta, gittree, spares
from .area import PRISTINE, SPARES, Area, Held, TreeError
from .files import remove
from .points import around
from .spares import Folder

SHORT_S = 0.02
"""How long a stream waits for the lock: it may come in on a loop that must not stand still. The sender tries again."""

_streams = {}


def apply_piece(store, head, data):
    """Take one piece of a delta stream: {"workspace", "base", "want", "seq", "last"} and bytes.

    Gives {"have": hash} once the tree is whole (also at once when it is here already), {"have", "refused": "base"} when
    the stream starts from a tree that is not here, else {}. Raises TreeError, DeltaError, OSError; the stream is then
    over and pristine, if it was changed, discarded.
    """
    key = (store, head["workspace"])
    if head["seq"] == 0:
        _drop(key)
        begun = _Stream(Area(store, head["workspace"]), head["want"])
        refusal = begun.begin(head["base"])
        if refusal is not None:
            return refusal
        _streams[key] = begun
    stream = _streams.get(key)
    if stream is None or stream.expected != (head["want"], head["seq"]):
        _drop(key)
        raise TreeError(
            "bad-delta", "a piece of code came out of order", "piece %d of %s" % (head["seq"], head["want"])
        )
    try:
        stream.feed(data)
        if not head["last"]:
            return {}
        stream.finish()
    except BaseException:
        _drop(key)
        raise
    del _streams[key]
    return {"have": head["want"]}


def stage(store, code, destination):
    """Give an attempt its own files at `destination`, with the folder that it starts in.

    None when they are there (also when they were before), {"need": hash or None} when the tree is not on the node: the
    hash is of the one that is. Raises TreeError, OSError.
    """
    destination = os.fsencode(destination)
    if os.path.lexists(destination):
        return None
    inside = os.fsencode(code.get("cwd") or "")
    if inside:
        delta.check(inside)
    area = Area(store, code["workspace"])
    with area.lock():
        if os.path.lexists(destination):
            return None
        area.used()
        os.makedirs(os.path.dirname(destination), 0o700, exist_ok=True)
        ready = _spare_of(area, code["tree"]) if _same_disk(area.path, os.path.dirname(destination)) else None
        if ready is not None:
            _hand_over(area, ready, destination, inside)
            return None
        held = area.held(PRISTINE)
        if held is None or held.tree.hash != code["tree"]:
            return {"need": held and held.tree.hash}
        try:
            _give(area, held, destination, inside)
        except spares.Damaged:
            area.discard(PRISTINE)
            return {"need": None}
    return None


def refill(store, workspace):
    """Make ready what the next attempts will take; meant to run beside all else, at low priority. Raises OSError."""
    spares.refill(Area(store, workspace))


def small(store, workspace):
    """What changes when pristine does, of a tree too small for spares; None when spares pay, or nothing is held."""
    area = Area(store, workspace)
    version = area.version(PRISTINE)
    return version if version is not None and version[2] < spares.SMALL else None


class _Stream:
    """One delta stream on its way into pristine. Holds the workspace's lock from `begin` to `close`."""

    def __init__(self, area, want):
        self.expected = (want, 0)
        self._area = area
        self._want = want
        self._lock = area.lock(SHORT_S)
        self._tree = gittree.Tree()
        self._sink = None
        self._reader = None

    def begin(self, base):
        """None when the stream may go on, else the reply that ends it."""
        self._lock.__enter__()
        try:
            refusal = self._check(base)
        except BaseException:
            self.close()
            raise
        if refusal is not None:
            self.close()
            return refusal
        self._area.forget(PRISTINE)
        if base is None:
            self._area.discard(PRISTINE)
        self._sink = _Sink(self._area.place(PRISTINE), self._tree)
        self._reader = delta.Reader(self._sink)
        return None

    def _check(self, base):
        held = self._area.held(PRISTINE)
        if held is not None and held.tree.hash == self._want:
            return {"have": self._want}
        if base is None:
            return None
        if held is not None and held.lent is not None:
            held = spares.restore(self._area, held)
        if held is None or held.tree.hash != base:
            return {"have": held and held.tree.hash, "refused": "base"}
        self._tree = held.tree
        return None

    def feed(self, data):
        """Take the next piece."""
        self.expected = (self._want, self.expected[1] + 1)
        self._reader.feed(data)

    def finish(self):
        """The stream is over: prove the tree and keep it. Raises TreeError when it is another."""
        self._reader.finish()
        self._sink.finish()
        self._tree.update(self._sink.changes)
        if self._tree.hash != self._want:
            raise TreeError(
                "bad-delta", "the code on the node is not what was sent", "it has the hash " + self._tree.hash
            )
        self._area.keep(PRISTINE, Held(self._tree))
        self._sink = None
        self.close()

    def close(self):
        """Let go of everything; what is half done is discarded."""
        if self._sink is not None:
            self._sink.close()
            self._area.discard(PRISTINE)
            self._sink = None
        self._lock.release()


class _Sink:
    """What a delta stream says, done in a folder; `changes` are the entries with the hashes of the bytes that came."""

    def __init__(self, path, tree):
        self.changes = {}
        self._folder = Folder(path)
        self._tree = tree
        self._descriptor = -1
        self._hasher = None
        self._target = bytearray()
        self._coming = (b"", 0)

    def remove(self, path):
        """A file goes."""
        self._once(path)
        if self._tree.entry(path) is None:
            raise TreeError("bad-delta", "a removal of what is not there", repr(path))
        self._folder.remove(path)
        self.changes[path] = None

    def mode(self, path, kind):
        """A file becomes runnable or plain."""
        self._once(path)
        entry = self._tree.entry(path)
        if entry is None or entry[0] not in (gittree.FILE, gittree.PROGRAM):
            raise TreeError("bad-delta", "a mode for what is no file", repr(path))
        self._folder.mode(path, kind == delta.RUNNABLE)
        self.changes[path] = (_MODES[kind], entry[1])

    def begin(self, path, kind, size):
        """A file or a link's target comes."""
        self._once(path)
        self._coming = (path, kind)
        self._hasher = gittree.hasher(b"blob", size)
        self._target.clear()
        if kind != delta.LINK:
            self._descriptor = self._folder.create(path, _MODES[kind])

    def data(self, data):
        """Bytes of it."""
        self._hasher.update(data)
        if self._descriptor >= 0:
            spares.write(self._descriptor, data)
        else:
            self._target += data

    def end(self):
        """It is whole."""
        path, kind = self._coming
        if kind == delta.LINK:
            delta.check_link(path, bytes(self._target))
            self._folder.link(path, bytes(self._target))
        self.close()
        self.changes[path] = (_MODES[kind], self._hasher.digest())

    def _once(self, path):
        """The tree before and `changes` tell what is in the folder only while no path comes twice."""
        if path in self.changes:
            raise TreeError("bad-delta", "a path comes twice", repr(path))

    def finish(self):
        """No more comes: the folder is there, also without any file."""
        self._folder.parents(b"x")

    def close(self):
        """Close the file that is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_MODES = {
    delta.FILE: gittree.FILE,
    delta.PLAIN: gittree.FILE,
    delta.PROGRAM: gittree.PROGRAM,
    delta.RUNNABLE: gittree.PROGRAM,
    delta.LINK: gittree.LINK,
}


def _drop(key):
    stream = _streams.pop(key, None)
    if stream is not None:
        stream.close()


def _spare_of(area, want):
    """The name of a spare that holds this tree, or can be brought to it from pristine; None when there is none."""
    trees = {name: area.names(name) for name in SPARES}
    current = area.names(PRISTINE) == want
    for name in sorted(trees, key=lambda name: trees[name] != want):
        if trees[name] is None or (trees[name] != want and not current):
            continue
        spare = area.held(name)
        if spare is None or (spare.tree.hash != want and not _brought(area, name, spare)):
            continue
        return name
    return None


def _brought(area, name, spare):
    """Bring a spare to pristine's tree; False when a file could not be had, and the spare is gone."""
    held = area.held(PRISTINE)
    if held is None:
        return False
    area.forget(name)
    try:
        differences = gittree.differences(spare.tree, held.tree)
        spares.bring(Folder(area.place(name)), spares.source_of(area, held), differences)
    except (OSError, spares.Damaged) as error:
        area.discard(name)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True


def _give(area, held, destination, inside):
    """Without a spare: a small tree or one that a job has is copied; else the attempt gets pristine itself.

    Pristine is then `lent`: it is copied back from the attempt's folder later, with every file proven.
    """
    if held.lent is None and held.tree.size >= spares.SMALL and _same_disk(area.path, os.path.dirname(destination)):
        area.keep(PRISTINE, Held(held.tree, destination))
        _move(area.place(PRISTINE), destination, inside)
        return
    part = destination + b".part"
    if os.path.lexists(part):
        remove(part)
    folder = Folder(part)
    folder.parents(b"x")
    source = spares.source_of(area, held)
    try:
        spares.bring(folder, source, gittree.differences(gittree.Nothing, held.tree))
    except FileNotFoundError as error:
        raise spares.Damaged(error.filename)
    _move(part, destination, inside)


def _hand_over(area, name, destination, inside):
    area.forget(name)
    _move(area.place(name), destination, inside)


def _move(path, destination, inside):
    if inside:
        os.makedirs(os.path.join(path, inside), exist_ok=True)
    with around("tree.move"):
        os.rename(path, destination)


def _same_disk(one, other):
    return os.stat(one).st_dev == os.stat(other).st_dev
