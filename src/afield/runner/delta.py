"""The delta stream between two trees, read as it arrives: removals first, then contents, modes and links.

Record: kind (1 byte), length of the path (4), path; contents follow with size (8), packed length (8) and a zlib stream.
Numbers are big-endian. A stream may be cut into pieces anywhere.
"""

import struct
import zlib

REMOVE, FILE, PROGRAM, LINK, PLAIN, RUNNABLE = range(1, 7)
"""Remove a file; a file; a runnable file; a link (content = target); a mode change of a file that stays."""

STEP = 1024 * 1024

_HEAD = struct.Struct(">BI")
_SIZES = struct.Struct(">QQ")
_PATH_LIMIT = 65536


class DeltaError(Exception):
    """A stream that does not say what it should."""

    code = "bad-delta"

    def __init__(self, what, why=""):
        Exception.__init__(self, what)
        self.what = what
        self.why = why
        self.hints = ()


class Reader:
    """Bytes in, calls of `sink` out: remove(path), mode(path, kind), begin(path, kind, size), data(bytes), end()."""

    def __init__(self, sink):
        self._sink = sink
        self._buffer = bytearray()
        self._packed = 0
        self._size = 0
        self._inflate = None

    def feed(self, data):
        """Take a piece of the stream. Raises DeltaError, or what the sink raises."""
        view = memoryview(data)
        while len(view) or self._buffer:
            if self._inflate is not None:
                view = self._content(view)
                if self._inflate is not None:
                    return
                continue
            need = self._needed()
            if len(self._buffer) < need:
                more = need - len(self._buffer)
                self._buffer += view[:more]
                view = view[more:]
                if len(self._buffer) < need:
                    return
                continue
            self._record()

    def finish(self):
        """The stream is over. Raises DeltaError when it ended inside a record."""
        if self._buffer or self._inflate is not None:
            raise DeltaError("the delta was cut", "it ended inside a record")

    def _needed(self):
        if len(self._buffer) < _HEAD.size:
            return _HEAD.size
        kind, length = _HEAD.unpack_from(self._buffer)
        if not REMOVE <= kind <= RUNNABLE or not 0 < length <= _PATH_LIMIT:
            raise DeltaError("the delta is damaged", "record of kind %d with a path of %d bytes" % (kind, length))
        return _HEAD.size + length + (_SIZES.size if kind in (FILE, PROGRAM, LINK) else 0)

    def _record(self):
        kind, length = _HEAD.unpack_from(self._buffer)
        path = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
        check(path)
        if kind == REMOVE:
            self._sink.remove(path)
        elif kind in (PLAIN, RUNNABLE):
            self._sink.mode(path, kind)
        else:
            self._size, self._packed = _SIZES.unpack_from(self._buffer, _HEAD.size + length)
            if kind == LINK and self._size > _PATH_LIMIT:
                raise DeltaError("the delta is damaged", "a link of %d bytes" % self._size)
            self._inflate = zlib.decompressobj()
            self._sink.begin(path, kind, self._size)
        self._buffer.clear()

    def _content(self, view):
        piece, rest = view[: self._packed], view[self._packed :]
        self._packed -= len(piece)
        try:
            while len(piece):
                self._give(self._inflate.decompress(piece, STEP))
                piece = self._inflate.unconsumed_tail
            if self._packed == 0:
                self._end()
        except zlib.error as error:
            raise DeltaError("the delta is damaged", str(error))
        return rest

    def _give(self, data):
        self._size -= len(data)
        if self._size < 0:
            raise DeltaError("the delta is damaged", "a file is longer than announced")
        if data:
            self._sink.data(data)

    def _end(self):
        while not self._inflate.eof:
            data = self._inflate.decompress(self._inflate.unconsumed_tail, STEP)
            if not data:
                break
            self._give(data)
        if self._size or not self._inflate.eof:
            raise DeltaError("the delta is damaged", "a file is shorter than announced")
        self._inflate = None
        self._sink.end()


def check(path):
    """Raises DeltaError unless the path stays below the tree and out of .git."""
    for part in path.split(b"/"):
        if not part or part in (b".", b"..") or part.lower() == b".git" or b"\0" in part:
            raise DeltaError("a path is refused", repr(path))


def check_link(path, target):
    """Raises DeltaError when a link's target is absolute or leaves the tree."""
    depth = path.count(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in (b"", b"."):
            depth += 1
        if depth < 0:
            break
    if not target or target.startswith(b"/") or b"\0" in target or depth < 0:
        raise DeltaError("a link leaves the tree", "%r -> %r" % (path, target))
