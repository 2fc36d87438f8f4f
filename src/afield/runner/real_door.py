"""Waiting of the real world: signals, ended children, words of actors and requests on a Unix socket, in one poll."""

import os
import select
import signal
import socket
import time

from . import real_process, wire

NAMED = {signal.SIGUSR1: ("poke",), signal.SIGTERM: ("term",)}
LONGEST = 100  # the kernel takes 107 bytes of socket path
STALL_S = 2.0


class Ears:
    """The self-pipe that signals write to; TERM, HUP and INT do not end us."""

    def __init__(self):
        self.hear, speak = os.pipe()
        for descriptor in (self.hear, speak):
            os.set_blocking(descriptor, False)
        for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _nothing)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.set_wakeup_fd(speak, warn_on_full_buffer=False)

    def heard(self):
        """The happenings of the signals since the last call, each kind once."""
        try:
            numbers = set(os.read(self.hear, 4096))
        except BlockingIOError:
            return []
        return [NAMED[number] for number in sorted(numbers) if number in NAMED]


def _nothing(_number, _frame):
    """Having a handler at all is what makes the kernel wake us."""


class Door:
    """A listening Unix socket and its clients; a client is a number that is never used again."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        at(path, self.listener.bind)
        os.chmod(path, 0o600)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.clients = {}
        self._numbers = 0

    def come(self):
        """Lets one new client in."""
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._numbers += 1
        self.clients[self._numbers] = (connection, wire.Decoder())

    def read(self, client):
        """The requests that a client has sent; it is forgotten when it left or talks nonsense."""
        connection, decoder = self.clients[client]
        try:
            data = connection.recv(1 << 16)
            frames = decoder.feed(data)
        except BlockingIOError:
            return []
        except (OSError, wire.WireError):
            data, frames = b"", []
        if not data:
            self.leave(client)
        return [("request", client, head) for head, _ in frames]

    def leave(self, client):
        """Forgets a client."""
        connection, _ = self.clients.pop(client)
        connection.close()


def at(path, use):
    """Calls `use(address)` with a socket address of at most 107 bytes for a path of any length."""
    if len(os.fsencode(path)) <= LONGEST:
        return use(path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return use("/proc/self/fd/%d/%s" % (folder, os.path.basename(path)))
    finally:
        os.close(folder)


def listen(world, effect):
    """See effects.Listen."""
    world.door = Door(effect.path)


def answer(world, effect):
    """See effects.Answer."""
    if effect.client not in world.door.clients:
        return
    connection, _ = world.door.clients[effect.client]
    try:
        connection.settimeout(STALL_S)
        connection.sendall(wire.pack(effect.head))
        connection.setblocking(False)
    except OSError:
        world.door.leave(effect.client)


def wait(world, effect):
    """See effects.Wait."""
    world.ears = world.ears or Ears()
    while True:
        # In this order: who ends after the look at exits rings again, and what an actor told before it ended is heard
        # before its end.
        happened = world.ears.heard()
        exits = real_process.exits(world)
        happened += _listen(world, 0) + [("exit",) + leave for leave in exits]
        left = 3600.0 if effect.until is None else effect.until - time.monotonic()
        if happened or left <= 0:
            return happened
        happened = _listen(world, left)
        if happened:
            return happened


def _listen(world, seconds):
    """What actors and clients say; nothing, and at once, when a signal has come."""
    poll = select.poll()
    uses = {world.ears.hear: None}
    uses.update(dict.fromkeys(world.told))
    if world.door is not None:
        uses[world.door.listener.fileno()] = 0
        uses.update({pair[0].fileno(): client for client, pair in world.door.clients.items()})
    for descriptor in uses:
        poll.register(descriptor, select.POLLIN)
    happened = []
    for descriptor, _ in poll.poll(min(seconds, 3600.0) * 1000.0):
        if descriptor in world.told:
            happened += _told(world, descriptor)
        elif uses[descriptor] == 0:
            world.door.come()
        elif uses[descriptor] is not None:
            happened += world.door.read(uses[descriptor])
    return happened


def _told(world, descriptor):
    text = os.read(descriptor, 4096).decode("utf-8", "surrogateescape")
    os.close(descriptor)
    return [("told", world.told.pop(descriptor), text)]


def sleep(_world, effect):
    """See effects.Sleep."""
    time.sleep(effect.seconds)


def port(_world, _effect):
    """See effects.Port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
