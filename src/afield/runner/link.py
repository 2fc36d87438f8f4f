"""The link: answers the controller's requests on this node and pushes news. One thread, one loop, nothing to lose.

It ends when its standard input ends, or when nothing was heard for `SILENCE_S`; commands started by `exec` end with it,
shepherds and the keeper do not notice.
"""

import gc
import os
import select
import signal
import time

from . import wire
from .follow import Follower
from .inotify import Inotify
from .look import Disk
from .outlet import Outlet
from .real_process import call_it
from .refusal import trouble
from .verbs import Verbs

SILENCE_S = 90.0
READ = 256 * 1024
ROOM = 1024 * 1024
PIPE = 1031  # F_SETPIPE_SZ, which Python 3.8 has no name for


class Link:
    """One connection to a controller, over two descriptors."""

    def __init__(self, paths, stdin, stdout):
        self.paths = paths
        self.outlet = Outlet(stdout)
        self.running = {}
        self._stdin = stdin
        self._stdout = stdout
        self._decoder = wire.Decoder()
        self._room = bytearray(READ)
        self._poll = select.poll()
        self._ears = {}
        self._heard = self.now()
        self._open = True
        self._signals = -1
        self._reading = False
        self._writing = False
        self.verbs = Verbs(self)
        self.follower = Follower(self, paths.runs, self.verbs.read_facts, Disk(), Inotify())

    @staticmethod
    def now():
        """Monotonic seconds."""
        return time.monotonic()

    def listen(self, descriptor, events, ear):
        """Call `ear(events)` when something happens to a descriptor."""
        self._ears[descriptor] = ear
        self._poll.register(descriptor, events)

    def deaf(self, descriptor):
        """Stop listening to a descriptor."""
        if self._ears.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def finish(self, request, reply):
        """A child's request is over: its last reply, or None when the child gave it itself."""
        child = self.running.pop(request, None)
        if reply is not None:
            self.outlet.send(dict(reply, re=request))
        if child is not None:
            self.verbs.finished(child)

    def run(self):
        """Serve until the other side is gone; the exit status."""
        self._catch_signals()
        self.outlet.send(dict(self.verbs.hello(), on="hello"))
        try:
            while self._open:
                self._turn()
        except (BrokenPipeError, ConnectionResetError):
            return 0
        except wire.WireError as error:
            os.write(2, ("afield link: %s\n" % error).encode("utf-8", "replace"))
            return 1
        finally:
            for child in list(self.running.values()):
                child.close()
            self.verbs.clerks.close()
        return 0

    def _turn(self):
        self._arrange()
        for descriptor, events in self._poll.poll(self._patience()):
            ear = self._ears.get(descriptor)
            if ear is not None:
                ear(events)
        self._tick()
        if self.outlet.waiting:
            self.outlet.flush()

    def _arrange(self):
        want_read = not self.outlet.full
        if want_read != self._reading:
            self._reading = want_read
            self._set(self._stdin, want_read, select.POLLIN, self._receive)
            self._heard = self.now()
        if self.outlet.waiting != self._writing:
            self._writing = self.outlet.waiting
            self._set(self._stdout, self._writing, select.POLLOUT, lambda _: None)

    def _set(self, descriptor, wanted, events, ear):
        if wanted:
            self.listen(descriptor, events, ear)
        else:
            self.deaf(descriptor)

    def _patience(self):
        times = [child.kill_at for child in self.running.values() if child.kill_at is not None]
        times.append(self._heard + SILENCE_S)
        due = self.follower.due()
        if due is not None:
            times.append(due)
        return max(0, int((min(times) - self.now()) * 1000) + 1)

    def _tick(self):
        now = self.now()
        self.follower.tick(now)
        for child in list(self.running.values()):
            if child.kill_at is not None and now >= child.kill_at:
                child.kill()
        if self._reading and now >= self._heard + SILENCE_S:
            self._open = False

    def _receive(self, _):
        try:
            size = os.readv(self._stdin, [self._room])
        except BlockingIOError:
            return
        if not size:
            self._open = False
            return
        self._heard = self.now()
        with memoryview(self._room) as room:
            frames = self._decoder.feed(room[:size])
        for head, body in frames:
            self._serve(head, body)

    def _serve(self, head, body):
        try:
            reply = self.verbs.answer(head, body)
        except Exception as error:  # noqa: BLE001 whatever a verb meets answers that request, and is not the end
            reply = trouble(error)
        if reply is not None:
            data = reply.pop("data", b"")
            self.outlet.send(dict(reply, re=head.get("id")), data)

    def _catch_signals(self):
        self._signals, write_end = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.listen(self._signals, select.POLLIN, self._signalled)

    def _signalled(self, _):
        numbers = os.read(self._signals, 4096)
        if any(number != signal.SIGCHLD for number in numbers):
            self._open = False
        self._reap()

    def _reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.verbs.clerks.ended(pid, status):
                continue
            for child in list(self.running.values()):
                if child.pid == pid:
                    child.ended(status)


def main(store):
    """Be the link of a store on standard input and output until the controller leaves; the exit status."""
    from . import folder

    call_it("link")
    stdin, stdout = _take_streams()
    getattr(gc, "freeze", int)()  # memory that no collection looks through is shared with our forks; PyPy has none
    return Link(folder.paths(store), stdin, stdout).run()


def _take_streams():
    # From here on nothing that prints or reads by mistake, and no child, can touch the conversation.
    taken = (os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    for descriptor in taken:
        os.set_blocking(descriptor, False)
        _widen(descriptor)
    return taken


def _widen(descriptor):
    import fcntl

    try:
        fcntl.fcntl(descriptor, PIPE, ROOM)
    except OSError:
        # A socket, or the account's share of pipe memory is used up: slower, not wrong.
        return
