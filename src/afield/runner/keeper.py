"""The keeper: one detached process per node, store and runner version. Forks shepherds, adopts what killed ones leave.

It owns no truth. Killed, it is started again at the next contact; its shepherds do not notice.
"""

import traceback
from signal import SIGUSR1

from . import folder, killtree, real, real_process, verdict
from .adopt import Care
from .door import connect
from .effects import (
    Answer,
    Ended,
    Identity,
    List,
    Listen,
    Lock,
    Mkdir,
    Now,
    Opened,
    Peek,
    Processes,
    Put,
    Reap,
    Self,
    Signal,
    Size,
    Sleep,
    Spawn,
    Subreaper,
    Unlink,
    Wait,
)
from .shepherd import HELD, REFUSED, STARTED, shepherd
from .strays import Strays

__all__ = ["Keeper", "connect", "main"]

IDLE_S = 600.0
LOOK_S = 60.0


class Task:
    """A generator that shares the keeper's waiting: `until` is when it wants to go on at the latest."""

    def __init__(self, care):
        self.care = care
        self.generator = care.run()
        self.until = 0.0
        self.deaf = True  # in a Sleep: happenings are kept for later
        self.inbox = []
        self.done = False


class Keeper:
    """The state of a keeper and its loop, as generators of effects."""

    def __init__(self, paths, digest):
        self.paths = paths
        self.digest = digest
        self.me = {}
        self.flock = {}  # pid of a live shepherd -> (attempt, start)
        self.guests = set()  # pids of shepherds that refused or found the attempt in other hands
        self.asking = {}  # pid of a shepherd that has not spoken -> [(client, request id)]
        self.tasks = {}  # attempt -> Task
        self.strays = Strays()
        self.unknown = []  # ended children whose attempt is not settled yet
        self.leaving = False
        self.busy_at = 0.0
        self.look_at = 0.0

    def run(self):
        """The whole life; returns at once when another keeper of this kind lives."""
        yield Mkdir(self.paths.runs)
        lock = yield Lock(self.paths.keeper_lock(self.digest))
        if lock is None:
            return
        self.me = yield Self()
        yield Subreaper()
        yield Listen(self.paths.keeper_sock(self.digest), label="keeper.listen")
        _, self.busy_at, _ = yield Now()
        while not (yield from self._over()):
            for happening in (yield Wait((yield from self._until()))):
                yield from getattr(self, "_on_" + happening[0])(*happening[1:])
            yield from self._look_around()
            yield from self._advance_all()
            yield from self._settle_unknown()
        yield Unlink(self.paths.keeper_sock(self.digest))

    def _over(self):
        _, mono, _ = yield Now()
        if self.flock or self.tasks:
            self.busy_at = mono
            return False
        return self.leaving or mono >= self.busy_at + IDLE_S

    def _until(self):
        _, mono, _ = yield Now()
        times = [mono + LOOK_S] + [task.until for task in self.tasks.values()]
        return min(times)

    # ---- happenings --------------------------------------------------------------------------------------------------

    def _on_poke(self):
        yield from ()
        for task in self.tasks.values():
            task.inbox.append(("poke",))

    def _on_term(self):
        yield from ()
        self.leaving = True

    def _on_exit(self, pid, code, signum):
        if pid in self.flock:
            yield from self._shepherd_left(pid)
        else:
            self.unknown.append((pid, code, signum))

    def _on_told(self, pid, text):
        if text and text != STARTED:
            self.guests.add(pid)
        if text.startswith(REFUSED):
            reply = {"state": "sealed", "pid": 0, "reason": text[len(REFUSED) :]}
        elif text == STARTED:
            reply = {"state": "started", "pid": pid}
        else:
            reply = {"state": "already" if text == HELD else "lost", "pid": 0}
        for client, number in self.asking.pop(pid, ()):
            yield Answer(client, dict(reply, re=number), label="keeper.answer")

    def _on_request(self, client, head):
        number, do, attempt = head.get("id"), head.get("do"), str(head.get("attempt", ""))
        _, self.busy_at, _ = yield Now()
        try:
            if do in ("start", "poke"):
                folder.split(attempt)
            if do == "start":
                reply = yield from self._start(client, number, attempt, head.get("secrets"))
            elif do == "poke":
                reply = {"state": (yield from self._poke(attempt))}
            elif do in ("ping", "leave"):
                self.leaving = self.leaving or do == "leave"
                held = sorted(self._living())
                reply = {"pid": self.me["pid"], "attempts": held, "version": self.digest}
            else:
                raise ValueError("unknown verb %r" % (do,))
        except (ValueError, OSError) as error:
            reply = {"error": {"code": "keeper", "what": "the keeper refused %s" % do, "why": str(error), "hints": []}}
        if reply is not None:
            yield Answer(client, dict(reply, re=number), label="keeper.answer")

    # ---- verbs -------------------------------------------------------------------------------------------------------

    def _start(self, client, number, attempt, secrets):
        """The reply, or None when the shepherd's word will be it."""
        for pid, (other, _) in self.flock.items():
            if other == attempt and pid in self.asking:
                self.asking[pid].append((client, number))
                return None
            if other == attempt:
                return {"state": "already", "pid": pid}
        if attempt in self.tasks:
            return {"state": "already", "pid": self.me["pid"]}
        born = yield Spawn("shepherd", (self.paths, attempt, secrets), label="keeper.fork")
        self.flock[born["pid"]] = (attempt, born["start"])
        self.asking[born["pid"]] = [(client, number)]
        return None

    def _poke(self, attempt):
        for pid, (other, start) in self.flock.items():
            if other == attempt:
                yield Signal(pid, start, SIGUSR1)
                return "shepherd"
        if attempt in self.tasks:
            self.tasks[attempt].inbox.append(("poke",))
            return "adopted"
        run = self.paths.run(attempt)
        if (yield Peek(run + "/" + folder.LOCK)) == "held":
            holder = (yield from folder.load(run + "/" + folder.LOCK)) or {}
            _, _, boot = yield Now()
            if holder.get("boot") == boot and (yield Signal(holder["pid"], holder["start"], SIGUSR1)):
                return "shepherd"
        return "adopted" if (yield from self._adopt_orphan(attempt)) else "none"

    # ---- adopting ----------------------------------------------------------------------------------------------------

    def _shepherd_left(self, pid):
        """A shepherd ended. Unless its attempt is at its end too, it is ours from now on.

        A seal that is not the shepherd's own tells only that no program was seen: what else it left is to be ended.
        """
        attempt, _ = self.flock.pop(pid)
        yield from self._on_told(pid, "")
        run = self.paths.run(attempt)
        sealed = yield from folder.sealed(run)
        closed = (sealed or {}).get("by") == "shepherd" or (yield Size(run + "/" + folder.FINAL)) is not None
        if not closed and pid not in self.guests:
            self._adopt(attempt, heir=True)
            yield from self._claim(attempt)
        self.guests.discard(pid)
        yield Reap(pid, label="keeper.reap")

    def _adopt(self, attempt, heir):
        self.tasks[attempt] = Task(Care(self.paths, attempt, lambda table: self._kin(attempt, table), heir))

    def _adopt_orphan(self, attempt):
        if verdict.verdict((yield from folder.facts(self.paths, attempt))) != verdict.ORPHAN:
            return False
        self._adopt(attempt, heir=False)
        return True

    def _look_around(self):
        """Once a minute: programs that a killed keeper and its killed shepherd left behind."""
        _, mono, _ = yield Now()
        if mono < self.look_at:
            return
        self.look_at = mono + LOOK_S
        known = self._living()
        for attempt in (yield List(self.paths.runs)) or []:
            run = self.paths.run(attempt)
            if attempt in known or (yield Size(run + "/" + folder.FINAL)) is not None:
                continue
            if (yield Peek(run + "/" + folder.LOCK)) == "free":
                yield from self._adopt_orphan(attempt)

    def _claim(self, attempt):
        """Children that a killed shepherd left us belong to its attempt, or to one whose shepherd fell with it."""
        strangers = self._strangers((yield Processes()))
        yield from self._note(strangers, {attempt} | (yield from self._fallen()))

    def _note(self, strangers, attempts):
        """Notes of which attempts new strangers can be: the files that one inherited tell, else any of these."""
        for row in self.strays.fresh(strangers):
            told = {self.paths.whose(path) for path in (yield Opened(row.pid))} & self._living()
            if told or attempts:
                self.strays.note([row], told or attempts)

    def _kin(self, attempt, table):
        """Children without a mark of ours that can only be of this attempt."""
        strangers = self._strangers(table)
        # Looked at after the table was made: who fell before may have left us some of these.
        fallen = yield from self._fallen()
        yield from self._note(strangers, set() if fallen else set(self.tasks))
        self.strays.keep({row.identity for row in strangers})
        # Who found nothing more of its own does not look again: then it must not be the one that a stray is left to.
        cleared = {other for other, task in self.tasks.items() if task.care.cleared}
        return self.strays.of(attempt, self._living() - cleared | {attempt})

    def _strangers(self, table):
        known = {pid for task in self.tasks.values() for pid in task.care.programs()} | set(self.flock) | self.guests
        # Any other mark is a program's own doing, or that of an afield inside a job: it does not say whose child it is.
        ours = tuple("%s.%s." % (self.paths.store, attempt) for attempt in self._living())
        here = killtree.children(table, self.me["pid"])
        return [row for row in here if row.pid not in known and not row.mark.startswith(ours) and not row.dead]

    def _fallen(self):
        """The attempts of shepherds that ended and whose end was not dealt with yet."""
        found = set()
        for pid, (attempt, _) in self.flock.items():
            if (yield Ended(pid)) is not None:
                found.add(attempt)
        return found

    def _living(self):
        return {attempt for attempt, _ in self.flock.values()} | set(self.tasks)

    # ---- the tasks ---------------------------------------------------------------------------------------------------

    def _advance_all(self):
        _, mono, _ = yield Now()
        for attempt, task in list(self.tasks.items()):
            if mono >= task.until or (task.inbox and not task.deaf):
                yield from self._advance(task)
            if task.done:
                del self.tasks[attempt]

    def _advance(self, task):
        """Runs a task until it wants to wait again, or to its end."""
        answer, error = None, None
        if not task.deaf:
            answer, task.inbox = task.inbox, []
        while True:
            try:
                effect = task.generator.send(answer) if error is None else task.generator.throw(error)
            except StopIteration:
                task.done = True
                return
            except Exception as trouble:  # noqa: BLE001 - one attempt's bug must not end the care for the others
                yield from self._trouble(task, trouble)
                return
            answer, error = None, None
            if isinstance(effect, (Wait, Sleep)):
                yield from self._park(task, effect)
                return
            try:
                answer = yield effect
            except OSError as trouble:
                error = trouble

    def _park(self, task, effect):
        _, mono, _ = yield Now()
        task.deaf = isinstance(effect, Sleep)
        task.until = mono + effect.seconds if task.deaf else effect.until

    def _trouble(self, task, error):
        """Notes it and begins anew from the run folder, a little later. Removed meanwhile it needs no care."""
        run = self.paths.run(task.care.attempt)
        try:
            yield Put(run + "/" + folder.TROUBLE, repr(error).encode("utf-8", "replace"))
        except FileNotFoundError:
            task.done = True
            return
        except OSError:
            pass
        care = task.care
        task.care = Care(care.paths, care.attempt, care.kin, care.heir)
        task.generator = task.care.run()
        _, mono, _ = yield Now()
        task.deaf, task.until = True, mono + 10.0

    def _settle_unknown(self):
        """Gives ended children to the attempts they belong to; reaps what belongs to none."""
        for pid in list(self.flock):
            if self.unknown and (yield Ended(pid)) is not None:
                yield from self._shepherd_left(pid)
        waiting, self.unknown = self.unknown, []
        for pid, code, signum in waiting:
            task = next((task for task in self.tasks.values() if pid in task.care.programs()), None)
            if task is not None:
                task.inbox.append(("exit", pid, code, signum))
                yield from self._advance_all()
            elif any(not task.care.settled for task in self.tasks.values()):
                self.unknown.append((pid, code, signum))
            elif (yield Identity(pid)) is not None:
                yield Reap(pid)


def main(argv):
    """The keeper's process: argv is ROOT RUNROOT STORE DIGEST."""
    root, runroot, store, digest = argv
    real_process.call_it("keeper")
    paths = folder.Paths(store, root, runroot)
    world = real.World({"shepherd": shepherd})
    try:
        real.perform(Keeper(paths, digest).run(), world)
    except Exception:  # its output goes nowhere: a bug of ours must leave a trace
        trace = traceback.format_exc().encode("utf-8", "replace")
        real.perform(_leave_trace(paths.local("keeper-%s.trouble" % digest), trace))
        raise


def _leave_trace(path, trace):
    yield Put(path, trace)
