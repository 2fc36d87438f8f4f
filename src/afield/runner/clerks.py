"""Clerks: forks of the link that answer slow requests, one at a time each, and then wait for the next one.

A fork for each request costs more than most requests do. A request never waits for a clerk: when all are busy, one more
is forked. A few stay when they are done. A clerk that dies interrupts its request only; the link's end ends idle ones,
and busy ones once their work is whole.
"""

import gc
import os
import signal
import sys

from . import points, wire
from .child import Pipe, detach, ends
from .real_process import call_it

IDLE = 4
DONE = "clerk done"  # no word of any reply


class Clerks:
    """All clerks of a link. `work(head)` yields the replies (head, data) to one request; it runs in a clerk."""

    def __init__(self, link, work):
        self._link = link
        self._work = work
        self._clerks = {}
        self._idle = []

    def give(self, number, head, last=False):
        """Has a clerk do a request, its replies going to `number`; the Order. After the `last` one the clerk leaves."""
        frame = wire.pack(head)
        while True:
            clerk = self._idle.pop() if self._idle else self._fork()
            order = Order(self._link, number, head, clerk)
            try:
                clerk.take(order, frame, last)
            except BrokenPipeError:
                continue  # it died while it was idle, before it could read all of this
            return order

    def ended(self, pid, status):
        """The kernel told us how a process ended; whether it was a clerk."""
        clerk = self._clerks.pop(pid, None)
        if clerk is None:
            return False
        if clerk in self._idle:
            self._idle.remove(clerk)
        clerk.ended(status)
        return True

    def close(self):
        """The link ends."""
        for clerk in self._clerks.values():
            clerk.close()

    def _fork(self):
        clerk = Clerk(self._link, self._work, self._free)
        self._clerks[clerk.pid] = clerk
        return clerk

    def _free(self, clerk):
        if clerk.last or clerk.gone or len(self._idle) >= IDLE:
            clerk.dismiss()
        else:
            self._idle.append(clerk)


class Order:
    """One request in a clerk's hands."""

    def __init__(self, link, number, head, clerk):
        self.head = head
        self.reply = {}
        self.kill_at = None
        self.answered = False
        self.number = number
        self.pid = clerk.pid
        self._link = link
        self._clerk = clerk

    def replied(self, head, body):
        """Pass a reply on."""
        self.reply = head
        self.answered = self.answered or "more" not in head
        self._link.outlet.send(dict(head, re=self.number), body)

    def cancel(self, _now):
        """Drop the work: what it did so far is whole, as after any kill."""
        self.kill()

    def kill(self):
        """End the clerk now."""
        self._clerk.kill()

    def close(self):
        """The link ends; a launch under way goes on by itself, it is bounded and safe to repeat."""


class Clerk:
    """One fork: requests go to it by one pipe, its replies come as frames by another."""

    def __init__(self, link, work, free):
        self.last = False
        self._link = link
        self._free = free
        self._order = None
        self._status = None
        self._decoder = wire.Decoder()
        requests, self._desk = os.pipe()
        replies, out = os.pipe()
        points.passes("link.fork")
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, requests, out)
        points.passes("link.fork+")
        os.close(requests)
        os.close(out)
        self._pipe = Pipe(link, replies, self._frame, self._closed)
        self._pipe.credit = sys.maxsize

    @property
    def gone(self):
        """Whether it has ended."""
        return self._status is not None

    def take(self, order, frame, last):
        """Start on a request. Raises BrokenPipeError when the clerk is no more; nothing was done then."""
        write(self._desk, frame)
        self._order = order
        self.last = last

    def ended(self, status):
        """The kernel told us how it ended."""
        self._status = status
        self._pipe.finish()
        self._closed()

    def kill(self):
        """End it now; its word that it is done may still be on the way."""
        self.last = True
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)

    def dismiss(self):
        """No more requests: it leaves."""
        if self._desk >= 0:
            os.close(self._desk)
            self._desk = -1

    def close(self):
        """The link ends."""
        self.dismiss()
        self._pipe.close()

    def _frame(self, data):
        for head, body in self._decoder.feed(data):
            if DONE in head:
                self._finish(None)
                self._free(self)
            else:
                self._order.replied(head, body)
        # Asked again once these are out, so that a long answer is never held here whole.
        self._link.outlet.offer(self._pipe)

    def _closed(self):
        if self._status is None or self._pipe.descriptor >= 0:
            return
        self.dismiss()
        if self._order is None:
            return
        reply = None
        if not self._order.answered:
            code, number = ends(self._status)
            why = "signal %d" % number if number else "status %s" % code
            reply = {"error": {"code": "interrupted", "what": "the request was interrupted on the node", "why": why}}
        self._finish(reply)

    def _finish(self, reply):
        order, self._order = self._order, None
        self._link.finish(order.number, reply)


def _live(work, requests, out):
    """The clerk's life: never returns."""
    status = 1
    try:
        getattr(gc, "freeze", int)()  # what the link had is never looked through, and so never copied; PyPy has none
        call_it("clerk")
        detach((requests, out))
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        decoder = wire.Decoder()
        while True:
            data = os.read(requests, wire.CHUNK)
            if not data:
                break
            for head, _ in decoder.feed(data):
                for reply, body in work(head):
                    with points.around("link.reply"):
                        write(out, wire.prefix(reply, len(body)))
                        write(out, body)
                write(out, wire.pack({DONE: True}))
        status = 0
    finally:
        os._exit(status)


def write(descriptor, data):
    """All of the data to a pipe that blocks."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
