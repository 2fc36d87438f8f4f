"""Children of the link: commands of the user (`exec`), which end with it, and what all its children need.

Shepherds and the keeper are no children of the link.
"""

import errno
import os
import select
import signal

from . import wire

WINDOW = 1024 * 1024
GRACE_S = 2.0
_CHANGE = 'umask "$1" && cd "$2" && shift 2 && exec "$@"'


class Pipe:
    """The reading end of a child's stream, as a stream of the outlet. `take(data)` gives the frame for some bytes."""

    def __init__(self, link, descriptor, take, done):
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.credit = WINDOW
        self.last = False
        self._link = link
        self._take = take
        self._done = done
        self._listen()

    def pull(self):
        """A frame, or None when there is nothing now, no credit left, or the end."""
        if self.descriptor < 0 or self.credit <= 0:
            return None
        try:
            data = os.read(self.descriptor, min(wire.CHUNK, self.credit))
        except BlockingIOError:
            data = None
        if data:
            self.credit -= len(data)
            return self._take(data)
        if data is None and not self.last:
            self._listen()
        else:
            self.close()
            self._done()
        return None

    def grant(self, size):
        """The other side has used up so many bytes."""
        self.credit += size
        if self.descriptor >= 0:
            self._link.outlet.offer(self)

    def finish(self):
        """The child has ended: what is in the pipe now is the rest, whoever else holds its other end."""
        self.last = True
        if self.descriptor >= 0:
            self._link.outlet.offer(self)

    def close(self):
        """Let the stream go."""
        if self.descriptor >= 0:
            self._link.deaf(self.descriptor)
            self._link.outlet.withdraw(self)
            os.close(self.descriptor)
            self.descriptor = -1

    def _listen(self):
        self._link.listen(self.descriptor, select.POLLIN, self._readable)

    def _readable(self, _):
        self._link.deaf(self.descriptor)
        self._link.outlet.offer(self)


class Exec:
    """One command; replies with its streams and, last, with how it ended."""

    def __init__(self, link, head, data):
        self.head = {}
        self._link = link
        self._id = head["id"]
        self._status = None
        self.kill_at = None
        out, child_out = os.pipe()
        err, child_err = os.pipe()
        try:
            self.pid = _start(head, data, child_out, child_err)
        finally:
            os.close(child_out)
            os.close(child_err)
        self._pipes = [Pipe(link, fd, self._frame(name), self._closed) for name, fd in (("out", out), ("err", err))]

    def _frame(self, name):
        return lambda data: ({"re": self._id, "more": True, "stream": name}, data)

    def took(self, stream, size):
        """The other side has used up bytes of a stream."""
        self._pipes[0 if stream == "out" else 1].grant(size)

    def ended(self, status):
        """The kernel told us how the command ended."""
        self._status = status
        for pipe in self._pipes:
            pipe.finish()
        self._closed()

    def cancel(self, now):
        """Ask the command to end, and see to it a little later."""
        if self._status is None:
            _signal_group(self.pid, signal.SIGTERM)
            self.kill_at = now + GRACE_S

    def kill(self):
        """End the command now."""
        self.kill_at = None
        if self._status is None:
            _signal_group(self.pid, signal.SIGKILL)

    def close(self):
        """The link ends."""
        self.kill()
        for pipe in self._pipes:
            pipe.close()

    def _closed(self):
        if self._status is None or any(pipe.descriptor >= 0 for pipe in self._pipes):
            return
        code, number = ends(self._status)
        self._link.finish(self._id, {"code": code, "signal": number})


def ends(status):
    """(code, signal) of a wait status; one of them is None."""
    return (None, os.WTERMSIG(status)) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), None)


def detach(keep):
    """In a fresh fork: default signals, and no descriptor of the link but `keep` and 0, 1, 2."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise


def _start(head, data, out, err):
    # The shell only sets umask and folder: its text is fixed, what the user said are its arguments.
    umask = os.environ.get("AFIELD_UMASK", "022")
    argv = ["/bin/sh", "-c", _CHANGE, "sh", umask, os.path.join(os.path.expanduser("~"), head.get("cwd") or "")] + head[
        "argv"
    ]
    stdin = _stdin(data)
    places = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    words = [os.fsencode(word) for word in argv]
    environment = {os.fsencode(k): os.fsencode(v) for k, v in surroundings(head.get("variables") or {}).items()}
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)
    try:
        return os.posix_spawn(words[0], words, environment, file_actions=places, setsid=True, setsigdef=defaults)
    except NotImplementedError:
        # A C library from before 2018.
        words.insert(0, b"/usr/bin/setsid")
        return os.posix_spawn(words[0], words, environment, file_actions=places, setsigdef=defaults)
    finally:
        os.close(stdin)


def surroundings(variables):
    """The environment for a command of the user: ours without what ssh and the runner are told, and the given ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "AFIELD_"))}
    return dict(kept, **variables)


def _stdin(data):
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.memfd_create("stdin")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
