"""Going on with an attempt whose shepherd was killed: the run folder tells what was, as if nothing had happened.

A keeper does this. It reaps the programs of its own killed shepherds and so learns how they end. Of programs that
another, killed keeper left behind it can only see that they are gone: those get no exit, and the verdict says so.
"""

from . import folder, shepherd, verdict
from .case import Case, Over
from .effects import Drop, Lock, Now, Put, Self, Sleep
from .watch import Member, Watch

TRIES = 100
PAUSE_S = 0.05
LATER_S = 1.0


class Care:
    """One adopted attempt in the keeper: its watch, once it is known what there is to watch.

    `heir`: its programs are children of this keeper, and nobody else can learn how they end.
    """

    def __init__(self, paths, attempt, kin, heir):
        self.paths = paths
        self.attempt = attempt
        self.kin = kin
        self.heir = heir
        self.watch = None
        self.settled = False  # whether `programs` can be trusted

    def programs(self):
        """The pids of the programs under watch that have not ended."""
        return [] if self.watch is None else [member.pid for member in self.watch.open()]

    @property
    def cleared(self):
        """Whether nothing of the attempt was left, as far as could be told."""
        return self.watch is not None and self.watch.cleared

    def run(self):
        """Takes the attempt's lock, follows it to its end and drops the lock.

        An heir waits for the lock as long as somebody else holds it; others leave the attempt to that one.
        """
        lock, tries = None, 0
        while lock is None and (self.heir or tries < TRIES):
            if tries:
                yield Sleep(PAUSE_S if tries < TRIES else LATER_S)
            lock = yield Lock(self.paths.run(self.attempt) + "/" + folder.LOCK, 0.0, label="keeper.lock")
            tries += 1
        if lock is None:
            return
        try:
            yield from self._go_on()
        finally:
            yield Drop(lock)

    def _go_on(self):
        spec = yield from folder.read_spec(self.paths, self.attempt)
        found = yield from folder.facts(self.paths, self.attempt, lock="free")
        if spec is None or found["final"] is not None:
            return
        me = yield Self()
        _, mono, boot = yield Now()
        identity = {"pid": me["pid"], "start": me["start"], "boot": boot}
        yield Put(self.paths.run(self.attempt) + "/" + folder.LOCK, folder.dump(identity))
        case = Case(self.paths, self.attempt, spec, "keeper", me)
        case.kin = self.kin
        case.closed = verdict.verdict(found) in verdict.CLOSED
        begun = {rank: p for rank, p in found["processes"].items() if p["started"] and not _unopened(p)}
        if not begun:
            yield from self._before(case, found)
            return
        clocks = [p["started"].get("mono", mono) for p in begun.values() if p["started"].get("boot") == boot]
        self.watch = Watch(case, [_member(rank, p) for rank, p in begun.items()], max(clocks or [mono]))
        self.watch.broken = len(begun) < len(found["processes"])
        yield from self._follow(case)

    def _follow(self, case):
        watch = self.watch
        note = yield from folder.load(case.run + "/" + folder.STOPPING, case.nonce)
        if note is not None:
            watch.taint()
        yield from watch.catch_up()
        self.settled = True
        if note is not None:
            yield from watch.resume(note)
        elif watch.broken:
            yield from watch.give_up()
        else:
            yield from watch.after_adoption()
        yield from watch.follow()
        yield from watch.finish()

    def _before(self, case, found):
        """The shepherd was killed before any program ran."""
        self.settled = True
        over = Over(by="the shepherd was killed before the program started")
        for name, step in found["stages"].items():
            code = (step["exit"] or {}).get("code")
            over = Over(stage=name) if code else over
        for order in (yield from folder.stops(case.run, case.nonce)):
            over = Over(why=str(order.get("why")), by=str(order.get("by", "")))
            break
        yield from shepherd.end_early(case, over)


def _unopened(process):
    return (process["exit"] or {}).get("by") == "gate"


def _member(rank, process):
    started, leave = process["started"], process["exit"]
    member = Member("p" + rank, started["pid"], started["start"], int(rank))
    if leave is not None:
        member.ended, member.code, member.signal = True, leave.get("code"), leave.get("signal")
        member.signalled = bool(leave.get("after_signal"))
    return member
