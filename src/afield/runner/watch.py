"""Watches started programs to their end: exits, stop orders, time limit, first failure, survivors.

The same logic serves a shepherd (one attempt, its own children) and the keeper (many adopted attempts): it only yields
effects, and in the keeper its `Wait` and `Sleep` are shared among all attempts.
"""

from signal import SIGCONT, SIGKILL, SIGTERM

from . import folder, killtree, memory
from .effects import Children, Ended, Identity, Now, Peek, Processes, Put, Reap, Signal, Wait

LOOK_S = 1.0
BEAT_S = 10.0
LINGER_S = 0.5  # helpers of a program may end a moment after it; only what stays longer is a survivor
SURVIVOR_GRACE_S = 2.0
ROUND_S = 0.05
GATE_S = 1.0  # what it takes a program to write down that its gate closed


class Member:
    """One program (or stage): its folder below the run folder, its identity, and how it ended."""

    def __init__(self, place, pid, start, rank=None):
        self.place = place
        self.pid = pid
        self.start = start
        self.rank = rank
        self.ended = False
        self.code = None
        self.signal = None
        self.signalled = False

    @property
    def known(self):
        """Whether it is known how it ended."""
        return self.code is not None or self.signal is not None


class Stop:
    """An end that we bring about: why, who asked, and until when programs may leave by themselves."""

    def __init__(self, why, by, kill_at):
        self.why = why
        self.by = by
        self.kill_at = kill_at


class Watch:
    """The watch over the members of one case. `rules` off: no time limit, no first failure (stages)."""

    def __init__(self, case, members, began, rules=True):
        self.case = case
        self.members = members
        self.stop = None
        self.cause = None
        self.survivors = []
        self.cleared = False
        self.usage = {"cpu_s": 0.0, "rss_bytes": 0}
        self.rules = rules
        self.broken = False  # some program never ran: the shepherd was killed while it started them
        self._began = began
        self._orders = 0
        self._fail_at = None
        self._beat_at = began + BEAT_S
        self._beats = 0
        self._left = []

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def follow(self):
        """Returns when every member has ended."""
        yield from self.look()
        while self.open():
            happened = yield Wait((yield from self._next()))
            exits = [h for h in happened if h[0] == "exit"]
            for _, pid, code, signum in exits:
                yield from self.ended(pid, code, signum)
            if not exits:
                yield from self.look()

    def open(self):
        """The members that have not ended."""
        return [member for member in self.members if not member.ended]

    def _next(self):
        _, mono, _ = yield Now()
        times = [mono + LOOK_S]
        if self.stop is not None:
            times.append(max(self.stop.kill_at, mono + ROUND_S))
        elif self.rules:
            limit = self.case.spec.get("time_limit_s")
            times += [] if limit is None else [self._began + limit]
            times += [] if self._fail_at is None else [self._fail_at]
        return min(times)

    def look(self):
        """One look at orders and clocks; acts on what is due."""
        _, mono, _ = yield Now()
        yield from self._heartbeat(mono)
        yield from self._lost()
        yield from self._obey(mono)
        if self.rules and self.stop is None and self.open():
            limit = self.case.spec.get("time_limit_s")
            if limit is not None and mono >= self._began + limit:
                yield from self.order("time_limit", "", self._grace())
            elif self._fail_at is not None and mono >= self._fail_at:
                yield from self.order("failure", "", self._grace())
        if self.stop is not None and mono >= self.stop.kill_at:
            yield from self._send(SIGKILL)

    def _grace(self):
        return float(self.case.spec.get("grace_s") or 0)

    def _heartbeat(self, mono):
        if mono < self._beat_at:
            return
        self._beat_at = mono + BEAT_S
        self._beats += 1
        value = {"n": self._beats, "mono": mono, "left": self._left}
        try:
            yield Put(self.case.run + "/" + folder.BEAT, folder.dump(value))
        except OSError:
            pass  # only for display

    def _lost(self):
        """Members that are nobody's children of ours any more end without a known status."""
        for member in self.open():
            row = yield Identity(member.pid)
            if row is None or row[0] != member.start or (row[1] in "ZX" and row[2] != self.case.me["pid"]):
                member.ended = True

    # ---- exits -------------------------------------------------------------------------------------------------------

    def ended(self, pid, code, signum):
        """A child ended and is a zombie: write its exit down, then let the kernel forget it."""
        member = next((m for m in self.open() if m.pid == pid), None)
        if member is not None and not (yield from self._is(member)):
            member = None
        if member is not None:
            yield from self._write_exit(member, code, signum)
        elif self.case.who == "keeper":
            return  # the keeper reaps what is no program
        usage = yield Reap(pid, label=self.case.label("reap"))
        self.usage["cpu_s"] = round(self.usage["cpu_s"] + usage["cpu_s"], 3)
        self.usage["rss_bytes"] = max(self.usage["rss_bytes"], usage["rss_bytes"])
        if member is not None and self.rules:
            yield from self._after(member)

    def _is(self, member):
        """Whether that pid is still that process: another child of ours may have got the number."""
        row = yield Identity(member.pid)
        return row is not None and row[0] == member.start

    def _unopened(self, member):
        """Whether the program left behind its closed gate without having run; it has written that down itself."""
        record = yield from self._load(member, folder.EXIT)
        return record is not None and record.get("by") == "gate"

    def _load(self, member, name):
        return (yield from folder.load("%s/%s/%s" % (self.case.run, member.place, name), self.case.nonce))

    def _write_exit(self, member, code, signum):
        if (yield from self._unopened(member)):
            member.ended, self.broken = True, True
            return
        wall, mono, _ = yield Now()
        value = {"code": code, "signal": signum, "at": wall, "mono": mono}
        value.update({"by": self.case.who, "after_signal": member.signalled})
        if signum == SIGKILL and not member.signalled:
            started = yield from self._load(member, folder.STARTED)
            value["oom"] = yield from memory.since((started or {}).get("oom"))
        yield from self.case.record(member.place + "/" + folder.EXIT, value, "exit")
        member.ended, member.code, member.signal = True, code, signum

    def _after(self, member):
        """What the end of one program means for the others."""
        if self.broken:
            yield from self.give_up()
            return
        failed = member.code != 0
        first_end = self.case.spec.get("end") == "first"
        if failed and self.cause is None and not member.signalled:
            self.cause = member.rank
        if self.stop is not None or not self.open():
            return
        _, mono, _ = yield Now()
        if first_end:
            yield from self.order("failure" if failed else "end_first", "", self._grace())
        elif failed and self._fail_at is None:
            self._fail_at = mono + self._grace()

    def give_up(self):
        """Stops what runs of an attempt that was never whole, a moment later: some may just be leaving their gates."""
        if self._fail_at is None:
            _, mono, _ = yield Now()
            self._fail_at = mono + GATE_S

    def after_adoption(self):
        """Applies the rules to ends that the killed shepherd wrote down but may not have acted on."""
        for member in [m for m in self.members if m.known]:
            yield from self._after(member)

    def catch_up(self):
        """Takes up children that ended before we looked: their zombies are still there."""
        for member in self.open():
            found = (yield Ended(member.pid)) if (yield from self._is(member)) else None
            if found is not None:
                yield from self.ended(member.pid, found[0], found[1])

    # ---- stopping ----------------------------------------------------------------------------------------------------

    def _obey(self, mono):
        orders = yield from folder.stops(self.case.run, self.case.nonce)
        for order in orders[self._orders :]:
            self._orders += 1
            grace = float(order.get("grace_s") or 0)
            if self.stop is None:
                yield from self.order(str(order.get("why")), str(order.get("by", "")), grace)
            else:
                self.stop.kill_at = min(self.stop.kill_at, mono + grace)

    def order(self, why, by, grace_s):
        """Begins to stop everything: noted first, so that an adopter knows that our signals came before the end."""
        _, mono, _ = yield Now()
        self.stop = Stop(why, by, mono + grace_s)
        note = {"nonce": self.case.nonce, "why": why, "by": by, "cause": self.cause}
        try:
            yield Put(self.case.run + "/" + folder.STOPPING, folder.dump(note), label=self.case.label("stopping"))
        except OSError:
            pass  # a full disk must not keep anything alive
        yield from self._send(SIGTERM)

    def taint(self):
        """A killed shepherd may have signalled everything: who ends from now on ended after a signal of ours."""
        for member in self.open():
            member.signalled = True

    def resume(self, note):
        """Goes on with a stop that a killed shepherd had begun."""
        cause = note.get("cause")
        self.cause = cause if isinstance(cause, int) else None
        yield from self.order(str(note.get("why")), str(note.get("by", "")), self._grace())

    def _send(self, signum):
        rows = yield from self.tree()
        for row in rows:
            sent = yield Signal(row.pid, row.start, signum, label=self.case.label("kill"))
            if sent and signum == SIGTERM:
                yield Signal(row.pid, row.start, SIGCONT)
            for member in self.open():
                if sent and (member.pid, member.start) == row.identity:
                    member.signalled = True
        self._left = [killtree.named(row) for row in rows]

    def tree(self):
        """Everything of the attempt that lives."""
        if self.case.proof and not (yield Children()):
            return []
        table = yield Processes()
        roots = {(member.pid, member.start) for member in self.members} | (yield from self.case.kin(table))
        return killtree.members(table, self.case.me["pid"], roots, self.case.mark)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def clear(self):
        """Ends what is left after the last member; returns when that is verified. Names survivors of a normal end."""
        _, mono, _ = yield Now()
        normal = self.stop is None
        if normal:
            yield from self._settle(mono + LINGER_S)
            rows = yield from self.tree()
            if not rows:
                return
            self.survivors = [killtree.named(row) for row in rows]
            yield from self._send(SIGTERM)
            _, mono, _ = yield Now()
        kill_at = mono + SURVIVOR_GRACE_S if normal else self.stop.kill_at
        left = yield from self._settle(kill_at, not normal)
        pause = ROUND_S
        while left:
            yield from self._send(SIGKILL)
            _, mono, _ = yield Now()
            yield from self._heartbeat(mono)
            left = yield from self._settle(mono + pause)
            pause = min(2 * pause, LOOK_S)

    def _settle(self, until, obey=False):
        """Waits until nothing of the attempt lives, or until a time; what lives then."""
        while True:
            rows = yield from self.tree()
            _, mono, _ = yield Now()
            if obey:
                yield from self._obey(mono)
                until = min(until, self.stop.kill_at)
            if not rows or mono >= until:
                return rows
            for happening in (yield Wait(min(until, mono + 4 * ROUND_S))):
                if happening[0] == "exit":
                    yield from self.ended(*happening[1:])

    def _last_holder(self):
        """Waits until no process has a tree open: where both watchers were killed, only that may tell of one.

        What is known only now to be of the attempt is ended meanwhile.
        """
        for member in self.members:
            while (yield Peek("%s/%s/%s" % (self.case.run, member.place, folder.TREE))) == "held":
                yield from self._send(SIGKILL)
                _, mono, _ = yield Now()
                yield from self._heartbeat(mono)
                for happening in (yield Wait(mono + LOOK_S)):
                    if happening[0] == "exit":
                        yield from self.ended(*happening[1:])

    def finish(self):
        """Clears up, then writes final.json; not when nobody knows how the programs ended, or when some never ran."""
        yield from self.clear()
        self.cleared = True
        yield from self._last_holder()
        if self.broken:
            yield from self.case.seal("the shepherd was killed while it started the programs")
            return
        if self.stop is None and not all(member.known for member in self.members):
            return
        why, by = (self.stop.why, self.stop.by) if self.stop is not None else (None, "")
        _, mono, _ = yield Now()
        usage = dict(self.usage, seconds=round(mono - self._began, 3))
        yield from self.case.final(why=why, by=by, cause=self.cause, survivors=self.survivors, usage=usage)
        yield from self.case.done()
