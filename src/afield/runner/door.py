"""The way to a node's keeper: connects to its socket, and starts it, detached, when nobody listens."""

import os
import socket
import sys
import time

from . import points, wire
from .probe import user_name
from .real_door import at
from .real_files import make
from .real_process import close_all

START_S = 10.0
REPLY_S = 30.0
SCOPE_S = 3.0
TURNS = 4
_RUN = "import sys; sys.path.insert(0, sys.argv[1]); __import__(sys.argv[2], fromlist=['main']).main(sys.argv[3:])"
LINGER = "/var/lib/systemd/linger/"
SCOPE = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


class KeeperLost(OSError):
    """The keeper does not answer: it left, was killed, or could not be started. Ask again: that starts a new one."""


class Client:
    """A connection to a keeper; `request` may be asked from one thread at a time."""

    def __init__(self, paths, digest, connection):
        self._paths = paths
        self._digest = digest
        self._connection = connection
        self._numbers = 0

    def request(self, head):
        """The reply to one request. A keeper that went away is started again and asked again. Raises KeeperLost."""
        for turn in range(TURNS):
            try:
                return self._ask(head)
            except KeeperLost:
                self.close()
                if turn == TURNS - 1:
                    raise
            # A keeper that is just dying may still take connections for a moment.
            time.sleep(0.05 * turn)
            self._connection = _connected(self._paths, self._digest)
        raise AssertionError("the last turn returns or raises")

    def once(self, head):
        """The reply of the keeper that runs now; no other is started. Raises KeeperLost."""
        return self._ask(head)

    def _ask(self, head):
        self._numbers += 1
        decoder = wire.Decoder()
        try:
            self._connection.settimeout(REPLY_S)
            self._connection.sendall(wire.pack(dict(head, id=self._numbers)))
            while True:
                data = self._connection.recv(1 << 16)
                if not data:
                    raise KeeperLost("the keeper closed the connection")
                for reply, _ in decoder.feed(data):
                    if reply.get("re") == self._numbers:
                        return reply
        except (OSError, wire.WireError) as error:
            raise error if isinstance(error, KeeperLost) else KeeperLost(str(error))

    def fileno(self):
        """The socket's descriptor."""
        return self._connection.fileno()

    def close(self):
        """Ends the connection; the keeper does not mind."""
        self._connection.close()


def connect(paths, digest):
    """A Client of the keeper of this store and runner version; starts it when there is none. Raises KeeperLost."""
    return Client(paths, digest, _connected(paths, digest))


def _connected(paths, digest):
    found = tried(paths, digest)
    if found is not None:
        return found
    make(paths.runs)
    _spawn(paths, digest)
    deadline = time.monotonic() + START_S
    pause = 0.002
    while time.monotonic() < deadline:
        found = tried(paths, digest)
        if found is not None:
            return found
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    raise KeeperLost("no keeper came up within %d s" % START_S)


def tried(paths, digest):
    """A connection to the keeper that runs now; None when there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        at(paths.keeper_sock(digest), connection.connect)
    except OSError:
        connection.close()
        return None
    return connection


def _spawn(paths, digest):
    """Starts a keeper that is nobody's child: of several started at once all but one leave by themselves."""
    words = command(paths, digest)
    points.passes("link.keeper")
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        points.passes("link.keeper+")
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _detach()
        if lingering(_runtime(), LINGER + user_name(os.getuid())):
            _in_scope(words)
        os.execve(words[0], words, _environ())
    finally:
        os._exit(127)


def command(paths, digest):
    """The words that start a keeper with the code that is running now."""
    above = os.path.abspath(__file__)
    for _ in range(__package__.count(".") + 2):
        above = os.path.dirname(above)
    run = [sys.executable, "-I", "-S", "-c", _RUN, above, __package__ + ".keeper"]
    return run + [paths.root, paths.runroot, paths.store, digest]


def _detach():
    os.chdir("/")
    os.umask(int(os.environ.get("AFIELD_UMASK") or "%o" % os.umask(0o077), 8))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    close_all(())


def _environ():
    return {k: v for k, v in os.environ.items() if not k.startswith("SSH_") and k != "AFIELD_UMASK"}


def _runtime():
    # A login without a session does not say where it is.
    return os.environ.get("XDG_RUNTIME_DIR") or "/run/user/%d" % os.getuid()


def lingering(runtime, mark):
    """Whether a user manager is there that outlives logins, in which a keeper survives them: its socket, and `mark`."""
    return os.path.exists(mark) and os.path.exists(runtime + "/systemd/private")


def _in_scope(words):
    """Runs the keeper in a scope of the user manager; returns when that did not work."""
    pid = os.fork()
    if not pid:
        try:
            os.execvpe(SCOPE[0], SCOPE + words, dict(_environ(), XDG_RUNTIME_DIR=_runtime()))
        finally:
            os._exit(127)
    deadline = time.monotonic() + SCOPE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                return
            break
        time.sleep(0.05)
    os._exit(0)
