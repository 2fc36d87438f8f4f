"""What leaves the link: replies first, then one chunk of each stream in turn.

Streams are pulled when the other side takes bytes, never queued: a slow reader costs no memory, and a reply waits for
at most one chunk. Replies are queued; while more than `FULL` bytes of them wait, the link reads no further requests.
"""

import os
from collections import deque

from . import wire

FULL = 1024 * 1024
TURN = 4 * 1024 * 1024


class Outlet:
    """Frames to a descriptor that does not block."""

    def __init__(self, descriptor, writev=os.writev):
        self._descriptor = descriptor
        self._writev = writev
        self._replies = deque()
        self._held = 0
        self._parts = []
        self._ready = deque()

    def send(self, head, data=b""):
        """Queue a reply or a push that comes before stream data."""
        try:
            first = wire.prefix(head, len(data))
        except wire.WireError as error:
            data = b""
            first = wire.prefix({"re": head.get("re"), "error": {"code": "too-large", "what": str(error)}}, 0)
        self._replies.append((first, data))
        self._held += len(first) + len(data)

    def offer(self, stream):
        """Say that a stream has something: its `pull()` gives (head, data), or None when nothing is left for now."""
        if stream not in self._ready:
            self._ready.append(stream)

    def withdraw(self, stream):
        """Forget a stream that ended."""
        if stream in self._ready:
            self._ready.remove(stream)

    @property
    def waiting(self):
        """Whether anything could be written now."""
        return bool(self._parts or self._replies or self._ready)

    @property
    def full(self):
        """Whether so many replies wait that no request should be read."""
        return self._held > FULL

    def flush(self):
        """Write what the other side takes now, but not for ever. Raises OSError when it is gone."""
        left = TURN
        while left > 0 and (self._parts or self._next()):
            try:
                written = self._writev(self._descriptor, self._parts)
            except BlockingIOError:
                return
            left -= written
            self._advance(written)

    def _next(self):
        while not self._replies:
            if not self._ready:
                return False
            stream = self._ready.popleft()
            frame = stream.pull()
            if frame is not None:
                self._ready.append(stream)
                head, data = frame
                self._parts = [wire.prefix(head, len(data)), data] if data else [wire.prefix(head, 0)]
                return True
        first, data = self._replies.popleft()
        self._held -= len(first) + len(data)
        self._parts = [first, data] if data else [first]
        return True

    def _advance(self, written):
        while self._parts and written >= len(self._parts[0]):
            written -= len(self._parts[0])
            del self._parts[0]
        if written:
            self._parts[0] = memoryview(self._parts[0])[written:]
