"""Follows run folders for the controller: pushes facts when something changed, and out and err as they grow.

A stream is a file and a cursor: an offset and the (at most) 64 bytes before it. Files are opened for each look, so that
any number of streams needs no descriptors. When the file does not fit the cursor, the next push carries a gap:

    shrank      reading goes on at 0: all that the file holds now may be new
    differs     other bytes stand before the cursor; reading goes on at the cursor

Facts are pushed before output that is already there: who waits for the last byte compares cursors with the sizes in
the facts.
"""

import os

from . import inotify, wire
from .verdict import CLOSED, verdict

TAIL = 64
PACE_S = 0.02
LOOK_S = 1.0
POLL_S = 0.04
STREAMS = ("out", "err")
QUIET = ("hb", "reserve")
# Somebody waits for these: another attempt for the place, a gang for its last member.
URGENT = ("final.json", "sealed", "ready.json")


class Stream:
    """One file that grows, as a stream of the outlet."""

    def __init__(self, watch, name, cursor=(0, "")):
        self._watch = watch
        self._disk = watch.disk
        self.name = name
        self._path = os.path.join(watch.folder, name)
        self.offset = int(cursor[0])
        self._tail = cursor[1].encode("latin-1")[-TAIL:]

    def changed(self):
        """Whether the file is not as long as what was read of it."""
        size = self._disk.size(self._path)
        return size is not None and size != self.offset

    def pull(self):
        """The next push, or None when all was read."""
        size = self._disk.size(self._path)
        if size is None:
            return None
        gap = self._check(size)
        data = self._disk.piece(self._path, self.offset - len(self._tail), wire.CHUNK + len(self._tail))
        if data is None:
            return None if gap is None else self._push(b"", memoryview(b""), gap)
        if data[: len(self._tail)] != self._tail:
            gap = {"from": self.offset, "to": self.offset, "why": "differs"}
        fresh = memoryview(data)[len(self._tail) :]
        if not fresh and gap is None:
            return None
        return self._push(data, fresh, gap)

    def _check(self, size):
        if size >= self.offset:
            return None
        gap = {"from": self.offset, "to": 0, "why": "shrank"}
        self.offset = 0
        self._tail = b""
        return gap

    def _push(self, data, fresh, gap):
        head = {"on": "out", "attempt": self._watch.attempt, "stream": self.name, "offset": self.offset, "gap": gap}
        self.offset += len(fresh)
        self._tail = data[-min(TAIL, self.offset) :] if self.offset else b""
        return head, fresh


class Watch:
    """One attempt that is followed."""

    def __init__(self, attempt, folder, cursors, disk):
        self.disk = disk
        self.attempt = attempt
        self.folder = folder
        self.streams = {name: Stream(self, name, cursor) for name, cursor in cursors.items()}
        self.numbers = {}
        self.facts = None
        self.closed = False
        self.due = None
        self.next = 0.0

    def places(self):
        """The folders that matter: the run folder, those of processes, stages."""
        found = [""]
        for name in self.disk.names(self.folder):
            if name == "stage":
                found += ["stage"] + ["stage/" + stage for stage in self.disk.names(os.path.join(self.folder, "stage"))]
            elif name[:1] == "p" and name[1:].isdigit():
                found.append(name)
        return found

    def stream(self, place, name):
        """The stream of that file, new ones from their beginning."""
        key = place + "/" + name
        if key not in self.streams:
            self.streams[key] = Stream(self, key)
        return self.streams[key]


class Follower:
    """All followed attempts of a link. `facts(attempt)` reads the facts of one, `runs` is the folder of run folders.

    `disk` and `kernel` are how it looks at files, and hears of them: look.Disk and inotify.Inotify on a node.
    """

    def __init__(self, link, runs, facts, disk, kernel):
        self._link = link
        self._runs = runs
        self._facts = facts
        self._disk = disk
        self._kernel = kernel
        self._watches = {}
        self._places = {}
        self._polling = False
        self._look_at = None

    def watch(self, attempt, cursors, now):
        """Follow an attempt from these cursors; its facts. Following it already, start over from these."""
        self.unwatch(attempt)
        if not self._watches and not self._polling:
            self._listen()
        watch = self._watches[attempt] = Watch(attempt, os.path.join(self._runs, attempt), cursors, self._disk)
        self._scan(watch)
        for stream in watch.streams.values():
            self._link.outlet.offer(stream)
        try:
            self._learn(watch, self._facts(attempt))
        except OSError:
            self.unwatch(attempt)
            raise
        self._look_at = now
        return watch.facts

    def follows(self, attempt):
        """Whether an attempt is followed already."""
        return attempt in self._watches

    def poke(self, attempt):
        """Look at an attempt now: its folder may just have been made."""
        if attempt in self._watches:
            self._scan(self._watches[attempt])
            self._mark(self._watches[attempt], self._link.now())

    def unwatch(self, attempt):
        """Follow an attempt no longer."""
        watch = self._watches.pop(attempt, None)
        if watch is None:
            return
        for stream in watch.streams.values():
            self._link.outlet.withdraw(stream)
        for number in watch.numbers.values():
            self._places.pop(number, None)
            self._kernel.remove(number)

    def due(self):
        """When `tick` wants to be called next; None for not at all."""
        times = [watch.due for watch in self._watches.values() if watch.due is not None]
        if self._watches and self._look_at is not None:
            times.append(self._look_at)
        return min(times) if times else None

    def tick(self, now):
        """Push the facts that are due; look at what the kernel tells nothing of: locks, lives, at times the files."""
        if self._watches and self._look_at is not None and now >= self._look_at:
            self._look(now)
        for watch in list(self._watches.values()):
            if watch.due is not None and now >= watch.due:
                watch.due = None
                self._tell(watch)
                spent = self._link.now() - now
                watch.next = now + max(PACE_S, 10 * spent)

    def _look(self, now):
        # Of what is over, the kernel's news are enough.
        live = [watch for watch in self._watches.values() if not watch.closed]
        for place, watch in enumerate(live):
            self._scan(watch)
            if watch.due is None:
                # Spread over the second, so that no request waits for the facts of all attempts.
                watch.due = max(watch.next, now + LOOK_S * place / len(live))
        spent = self._link.now() - now
        self._look_at = now + max(POLL_S if self._polling else LOOK_S, 20 * spent)

    def _tell(self, watch):
        try:
            facts = self._facts(watch.attempt)
        except OSError:
            watch.due = self._link.now() + LOOK_S  # a full table of files, a bad disk: it may be read again later
            return
        if _bare(facts) != _bare(watch.facts):
            self._link.outlet.send({"on": "facts", "attempt": watch.attempt, "facts": facts})
        elif facts.get("progress") != watch.facts.get("progress"):
            self._link.outlet.send({"on": "progress", "attempt": watch.attempt, "progress": facts["progress"]})
        self._learn(watch, facts)

    def _learn(self, watch, facts):
        watch.facts = facts
        watch.closed = verdict(facts) in CLOSED
        if watch.closed:
            # Written after the last look and before the end.
            self._scan(watch)

    def _mark(self, watch, now):
        soon = max(now, watch.next)
        watch.due = soon if watch.due is None else min(soon, watch.due)

    def _listen(self):
        self._polling = not self._kernel.start()
        if not self._polling:
            self._link.listen(self._kernel.descriptor, 1, self._news)

    def _scan(self, watch):
        for place in watch.places():
            if not self._polling and place not in watch.numbers:
                self._add(watch, place)
            if place:
                names = self._disk.names(os.path.join(watch.folder, place))
                for stream in [watch.stream(place, name) for name in STREAMS if name in names]:
                    if stream.changed():
                        self._link.outlet.offer(stream)

    def _add(self, watch, place):
        try:
            number = self._kernel.add(os.path.join(watch.folder, place))
        except OSError:
            # The account's share of kernel watches is used up: look by ourselves from here on.
            self._polling = True
            self._look_at = 0.0
            return
        if number is not None:
            watch.numbers[place] = number
            self._places[number] = (watch, place)

    def _news(self, _):
        now = self._link.now()
        for number, mask, name in self._kernel.read():
            if mask & inotify.OVERFLOW:
                self._look_at = 0.0
            elif number in self._places:
                self._heard(self._places[number], mask, name, now)

    def _heard(self, place, mask, name, now):
        watch, folder = place
        if folder and folder != "stage" and name in STREAMS:
            self._link.outlet.offer(watch.stream(folder, name))
        elif name and name not in QUIET:
            if mask & inotify.CREATE:
                self._scan(watch)
            if name in URGENT:
                watch.next = now
            self._mark(watch, now)


def _bare(facts):
    """Facts without what output and progress alone change: those are no reason to look at the job again."""
    bare = {key: value for key, value in facts.items() if key != "progress"}
    for kind in ("processes", "stages"):
        bare[kind] = {
            key: {k: v for k, v in value.items() if k not in ("out", "err", "size_out", "size_err")}
            for key, value in facts.get(kind, {}).items()
        }
    return bare
