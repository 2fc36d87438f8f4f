"""Code on a node: takes delta streams into the pristine copy, and gives each attempt files of its own.

The tree's hash is computed again from the bytes as received, so that what is kept is what was sent.
"""

import errno
import os

from . import delta, gittree, spares
from .area import PRISTINE, SPARES, Area, Held, TreeError
from .spares import Folder

SHORT_S = 0.02
"""How long a stream waits for the lock: it may come in on a loop that must not stand still. The sender tries again."""

_streams = {}


def apply_piece(store, head, data):
    """Take one piece of a delta stream: {"workspace", "base", "want", "seq", "last"} and bytes.

    Gives {"have": hash} once the tree is whole (also at once when it is here already), {"have", "refused": "base"} when
    the stream starts from a tree that is not here, else {}. Raises TreeError, DeltaError, OSError; the stream is then over
    and pristine, if it was changed, discarded.
    """
    key = (store, head["workspace"])
    if head["seq"] == 0:
        _drop(key)
        stream = _Stream(Area(store, head["workspace"]), head["want"])
        refusal = stream.begin(head["base"])
        if refusal is not None:
            return refusal
        _streams[key] = stream
    stream = _streams.get(key)
    if stream is None or stream.expected != (head["want"], head["seq"]):
        _drop(key)
        raise TreeError("bad-delta", "a piece of code came out of order", "piece %d of %s" % (head["seq"], head["want"]))
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
        os.makedirs(os.path.dirname(destination), 0o700, exist_ok=True)
        ready = _spare_of(area, code["tree"])
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


class _Stream:
    """One delta stream on its way into pristine: the sink of delta.Reader. Holds the workspace's lock."""

    def __init__(self, area, want):
        self.expected = (want, 0)
        self._area = area
        self._want = want
        self._lock = area.lock(SHORT_S)
        self._folder = Folder(area.place(PRISTINE))
        self._reader = delta.Reader(self)
        self._changes = {}
        self._tree = gittree.Tree()
        self._dirty = False
        self._path = b""
        self._kind = 0
        self._descriptor = -1
        self._target = b""
        self._hasher = None
        self._lock.__enter__()

    def begin(self, base):
        """None when the stream may go on, else the reply that ends it."""
        try:
            held = self._area.held(PRISTINE)
            if held is not None and held.tree.hash == self._want:
                self.close()
                return {"have": self._want}
            if base is not None:
                if held is not None and held.lent is not None:
                    held = spares.restore(self._area, held)
                if held is None or held.tree.hash != base:
                    self.close()
                    return {"have": held and held.tree.hash, "refused": "base"}
                self._tree = held.tree
            self._dirty = True
            self._area.forget(PRISTINE)
            if base is None:
                self._area.discard(PRISTINE)
        except BaseException:
            self.close()
            raise
        return None

    def feed(self, data):
        """Take the next piece."""
        self.expected = (self._want, self.expected[1] + 1)
        self._reader.feed(data)

    def finish(self):
        """The stream is over: prove the tree and keep it. Raises TreeError when it is another."""
        self._reader.finish()
        self._folder.parents(b"x")
        self._tree.update(self._changes)
        if self._tree.hash != self._want:
            raise TreeError("bad-delta", "the code on the node is not what was sent", "it has the hash " + self._tree.hash)
        self._area.keep(PRISTINE, Held(self._tree))
        self._dirty = False
        self.close()

    def close(self):
        """Let go of everything; what is half done is discarded."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._dirty:
            self._area.discard(PRISTINE)
        if self._lock is not None:
            self._lock.__exit__()
            self._lock = None

    def remove(self, path):
        """A file goes."""
        self._folder.remove(path)
        self._changes[path] = None

    def mode(self, path, kind):
        """A file becomes runnable or plain."""
        entry = self._tree.entry(path)
        if entry is None or entry[0] not in (gittree.FILE, gittree.PROGRAM):
            raise TreeError("bad-delta", "a mode for what is no file", repr(path))
        self._folder.mode(path, kind == delta.RUNNABLE)
        self._changes[path] = (gittree.PROGRAM if kind == delta.RUNNABLE else gittree.FILE, entry[1])

    def begin_file(self, path, mode):
        """Open the file that comes."""
        self._descriptor = self._folder.create(path, mode)

    def begin(self, path, kind, size):  # noqa: F811
        """Contents follow."""
