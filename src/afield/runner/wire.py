"""Frames between the controller and a node: head (JSON) and data (bytes), each with its length in front.

Bytes that are not UTF-8 travel in heads as surrogate escapes, so that file names and arguments stay what they are.
"""

import json
import struct

CHUNK = 256 * 1024
HEAD_LIMIT = 4 * 1024 * 1024
DATA_LIMIT = 64 * 1024 * 1024

_LENGTHS = struct.Struct(">II")


class WireError(Exception):
    """The other side sent something that is no frame."""


def pack(head, data=b""):
    """One frame as bytes. Raises WireError when it is larger than the other side would take."""
    return prefix(head, len(data)) + data


def prefix(head, size):
    """All of a frame but its `size` bytes of data, for senders that do not want to copy those. Raises WireError."""
    text = json.dumps(head, separators=(",", ":")).encode("ascii")
    if len(text) > HEAD_LIMIT or size > DATA_LIMIT:
        raise WireError("frame too large: head %d, data %d bytes" % (len(text), size))
    return _LENGTHS.pack(len(text), size) + text


class Decoder:
    """Bytes in, frames out; holds at most one unfinished frame."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data):
        """The frames [(head, data), ...] that these bytes complete. Raises WireError on nonsense."""
        self._buffer += data
        frames = []
        start = 0
        while len(self._buffer) - start >= _LENGTHS.size:
            head_size, data_size = _LENGTHS.unpack_from(self._buffer, start)
            if head_size > HEAD_LIMIT or data_size > DATA_LIMIT:
                raise WireError("not a frame: lengths %d and %d" % (head_size, data_size))
            begin = start + _LENGTHS.size
            end = begin + head_size + data_size
            if len(self._buffer) < end:
                break
            with memoryview(self._buffer) as held:
                head, data = bytes(held[begin : begin + head_size]), bytes(held[begin + head_size : end])
            frames.append((_head(head), data))
            start = end
        if start:
            del self._buffer[:start]
        return frames

    @property
    def pending(self):
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)


def _head(text):
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("head is not JSON: %s" % error)
    if not isinstance(head, dict):
        raise WireError("head is not an object")
    return head
