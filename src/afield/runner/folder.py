"""Where everything of a store lies on a node, and the reading and writing of run folders.

All functions but `paths` and the `Paths` methods are generators of effects: on a node run them as
`real.perform(folder.facts(paths, attempt))`, inside other logic as `yield from folder.facts(paths, attempt)`.
A file that is torn, or carries another attempt's nonce, is no evidence and reads as absent.
"""

import json

from . import real
from .effects import Append, Drop, Identity, List, Lock, Mkdir, Now, Peek, Processes, Read, Size, Unlink, Write
from .verdict import NEEDS_SEAL, verdict

SPEC = "spec.json"
LOCK = "lock"
SEALED = "sealed"
READY = "ready.json"
GO = "go"
STOP = "stop."
STOPPING = "stopping"
FINAL = "final.json"
BEAT = "hb"
RESERVE = "reserve"
ACKED = "acked"
TROUBLE = "trouble"
STAGES = "stage"
PROCESS = "p"
TREE = "tree"
STARTED = "started.json"
EXIT = "exit.json"
ASKS = "asks.json"
OUT = "out"
ERR = "err"

RESERVE_BYTES = 64 * 1024


class Paths:
    """The places of one store on this node; `root` may be on a network file system, `runroot` never is."""

    __slots__ = ("root", "runroot", "store")

    def __init__(self, store, root, runroot):
        self.store = store
        self.root = root
        self.runroot = runroot

    def here(self, *parts):
        """Under s/STORE of `root`: what may lie on a network file system."""
        return "/".join((self.root, "s", self.store) + parts)

    def local(self, *parts):
        """Under s/STORE of `runroot`: locks, sockets, evidence."""
        return "/".join((self.runroot, "s", self.store) + parts)

    @property
    def runs(self):
        """The folder of all run folders."""
        return self.local("runs")

    @property
    def high_water(self):
        """The list of the highest attempt of each job that was ever started here."""
        return self.local("attempts.hw")

    @property
    def login(self):
        """What the login shell said about PATH, captured once."""
        return self.local("login.json")

    def run(self, attempt):
        """The run folder of attempt "JOB.N"."""
        return self.local("runs", attempt)

    def whose(self, path):
        """The attempt in whose run folder a file lies, "" for none; a home behind links begins with other words."""
        return path.partition("/s/%s/runs/" % self.store)[2].partition("/")[0]

    def job(self, attempt):
        """The attempt's own folder: src, keep, outputs."""
        return self.here("jobs", attempt)

    def env(self, key):
        """The environment with this key."""
        return self.here("env", key)

    def setup(self, key):
        """The mark that says that the setup with this key was done on this node."""
        return self.local("setup", key)

    def keeper_sock(self, digest):
        """The Unix socket of the keeper of one runner version."""
        return self.local("keeper-%s.sock" % digest)

    def keeper_lock(self, digest):
        """The lock that makes that keeper the only one."""
        return self.local("keeper-%s.lock" % digest)

    def device_lock(self, device):
        """The lock of one device, shared by all stores of this account."""
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in device)
        return "%s/locks/dev-%s.lock" % (self.runroot, name)

    def code(self, digest):
        """The folder that holds one version of the runner's code."""
        return "%s/r/%s" % (self.root, digest)


def paths(store, home=None):
    """The Paths of a store for this account; makes nothing but the fallback folder for a network home.

    `home` defaults to $HOME or the account's home. Raises OSError when the fallback belongs to somebody else.
    """
    return Paths(store, *real.roots(home))


# ---- what an attempt is called ---------------------------------------------------------------------------------------


def mark(spec, attempt):
    """The value of AFIELD_MARK in every process of an attempt on this node."""
    return ".".join((str(spec["store"]), attempt, str(spec["node"]), spec["nonce"][:8]))


def split(attempt):
    """("JOB", N) of "JOB.N". Raises ValueError when it is no such text."""
    job, _, number = attempt.rpartition(".")
    if not job or "/" in attempt or not number.isdigit() or int(number) < 1:
        raise ValueError("not an attempt: %r" % attempt)
    return job, int(number)


def process(run, rank):
    """The folder of one process in a run folder."""
    return "%s/%s%d" % (run, PROCESS, rank)


def stage(run, name):
    """The folder of one stage in a run folder."""
    return "%s/%s/%s" % (run, STAGES, name)


# ---- reading ---------------------------------------------------------------------------------------------------------


def load(path, nonce=None):
    """The JSON object in a file; None when it is missing, torn, or carries another nonce than the given one."""
    data = yield Read(path)
    if data is None:
        return None
    try:
        value = json.loads(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    if not isinstance(value, dict) or (nonce is not None and value.get("nonce") != nonce):
        return None
    return value


def read_spec(paths, attempt):
    """The spec of an attempt; None when it is missing or of no use."""
    spec = yield from load(paths.run(attempt) + "/" + SPEC)
    usable = spec is not None and isinstance(spec.get("nonce"), str) and isinstance(spec.get("processes"), list)
    return spec if usable else None


def facts(paths, attempt, lock=None):
    """All that the run folder and the kernel say about an attempt: the input of `verdict`.

    `lock` replaces the look at the attempt's lock, for one who holds it. A folder whose final.json came while it was
    read is read again, so that a final word never stands beside exits from before it.
    """
    while True:
        found = yield from _look(paths, attempt, lock)
        if found["final"] is not None or (yield Size(paths.run(attempt) + "/" + FINAL)) is None:
            return found
        if (yield from load(paths.run(attempt) + "/" + FINAL, found["nonce"])) is None:
            return found


def _look(paths, attempt, lock):
    run = paths.run(attempt)
    spec = yield from read_spec(paths, attempt)
    nonce = spec["nonce"] if spec else ""
    found = {"spec": spec is not None, "nonce": nonce, "lock": lock or (yield Peek(run + "/" + LOCK))}
    found["final"] = yield from load(run + "/" + FINAL, nonce)
    found["sealed"] = yield from sealed(run)
    found["boot"] = (yield Now())[2]
    found["ready"] = yield from load(run + "/" + READY, nonce)
    found["stopping"] = yield from load(run + "/" + STOPPING, nonce)
    names = (yield List(run)) or []
    found["stops"] = max([0] + [_stop_number(name) for name in names])
    found["acked"] = ACKED in names
    marks = _Marks(mark(spec, attempt) if spec and found["final"] is None else "")
    ranks = {str(p["rank"]): process(run, p["rank"]) for p in spec["processes"]} if spec else {}
    stages = (yield List(run + "/" + STAGES)) or []
    steps = {name: stage(run, name) for name in stages}
    found["processes"] = yield from _each(ranks, nonce, found["boot"], marks)
    found["stages"] = yield from _each(steps, nonce, found["boot"], marks)
    for name, step in found["stages"].items():
        step.update({"size_out": step["out"], "size_err": step["err"]})
        if name == "environment" and step["exit"] is None:
            step["asks"] = yield from load(steps[name] + "/" + ASKS)
    if lock is None and found["lock"] != "held":
        # Somebody may have taken the attempt up since the first look: then nothing that was read is the last word.
        found["lock"] = yield Peek(run + "/" + LOCK)
    return found


def sealed(run):
    """{"reason", "by"} when no program may start here any more, else None. A seal that cannot be read is a seal."""
    path = run + "/" + SEALED
    value = yield from load(path)
    if value is None and (yield Size(path)) is not None:
        value = {}
    return value if value is None else {"reason": str(value.get("reason", "")), "by": str(value.get("by", ""))}


class _Marks:
    """Looks for processes with the attempt's mark, at most once and only when asked."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.found = None

    def any(self):
        if self.found is None:
            rows = (yield Processes()) if self.wanted else ()
            self.found = any(row.mark == self.wanted and row.state not in "ZX" for row in rows)
        return self.found


def _each(folders, nonce, boot, marks):
    """What is known of each process. Life is looked at before the exit: who ends in between has its exit written."""
    found = {}
    for name, folder in folders.items():
        started = yield from load(folder + "/" + STARTED, nonce)
        alive = started is not None and (yield from _alive(folder, started, boot, marks))
        leave = yield from load(folder + "/" + EXIT, nonce)
        out = (yield Size(folder + "/" + OUT)) or 0
        err = (yield Size(folder + "/" + ERR)) or 0
        found[name] = {"started": started, "exit": leave, "alive": alive, "out": out, "err": err}
    return found


def _alive(folder, started, boot, marks):
    if started.get("boot") != boot:
        return False
    if (yield Peek(folder + "/" + TREE)) == "held":
        return True
    row = yield Identity(started["pid"])
    # A zombie counts while its parent is one of ours, who will write its exit before reaping it.
    if row is not None and row[0] == started["start"] and (row[1] not in "ZX" or row[2] != 1):
        return True
    return (yield from marks.any())


def stops(run, nonce):
    """The stop orders in a run folder, oldest first."""
    names = (yield List(run)) or []
    found = []
    for number in sorted(n for n in map(_stop_number, names) if n):
        order = yield from load(run + "/" + STOP + str(number), nonce)
        if order is not None:
            found.append(order)
    return found


def _stop_number(name):
    tail = name[len(STOP) :]
    return int(tail) if name.startswith(STOP) and tail.isdigit() else 0


# ---- writing ---------------------------------------------------------------------------------------------------------


def dump(value):
    """An object as the bytes that lie in files."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"


def put(run, name, value, nonce, label):
    """Writes an object durably below a run folder; when the disk is full, gives the attempt's reserve up first."""
    path = run + "/" + name
    try:
        yield Write(path, dump(value), nonce, label=label)
    except OSError:
        yield Unlink(run + "/" + RESERVE)
        yield Write(path, dump(value), nonce, label=label)


def write_spec(paths, attempt, spec):
    """Makes the run folder with its spec: "written", "same" (was there), or "other" (another attempt's nonce)."""
    split(attempt)
    run = paths.run(attempt)
    yield Mkdir(run, label="link.run")
    old = yield from read_spec(paths, attempt)
    if old is not None:
        return "same" if old["nonce"] == spec["nonce"] else "other"
    yield Write(run + "/" + SPEC, dump(spec), spec["nonce"], label="link.spec")
    return "written"


def write_go(paths, attempt, variables):
    """Opens the gate of a gang: what its members need to find each other. Once written it stays."""
    run = paths.run(attempt)
    nonce = yield from _nonce(paths, attempt)
    if nonce and (yield from load(run + "/" + GO, nonce)) is None:
        yield from put(run, GO, {"nonce": nonce, "variables": variables}, nonce, "link.go")


def write_stop(paths, attempt, order):
    """Orders the end of an attempt: `order` holds k (1, 2, ...), why, grace_s, by. The same k again changes nothing."""
    run = paths.run(attempt)
    nonce = yield from _nonce(paths, attempt)
    name = "%s%d" % (STOP, order["k"])
    if nonce and (yield Size(run + "/" + name)) is None:
        value = {field: order[field] for field in ("k", "why", "grace_s", "by")}
        yield from put(run, name, dict(value, nonce=nonce), nonce, "link.stop")


def write_ack(paths, attempt):
    """Says that the store has the end of this attempt: the folder may be removed when it is old."""
    run = paths.run(attempt)
    if (yield List(run)) is not None:
        yield Write(run + "/" + ACKED, dump({}), "ack", label="link.ack")


def _nonce(paths, attempt):
    spec = yield from read_spec(paths, attempt)
    return spec["nonce"] if spec else ""


def seal(paths, attempt, reason, by):
    """Takes the attempt's lock and seals the folder: no program will ever start in it. The facts after it.

    Nothing is written while somebody holds the lock (the facts say "held"), nor while a program lives (an orphan): who
    ordered the seal may have looked before it began.
    """
    split(attempt)
    run = paths.run(attempt)
    yield Mkdir(run, label="link.run")
    lock = yield Lock(run + "/" + LOCK)
    if lock is None:
        return (yield from facts(paths, attempt))
    try:
        found = yield from facts(paths, attempt, lock="free")
        if verdict(found) != NEEDS_SEAL:
            return found
        yield from write_seal(run, reason, by, "link")
        return (yield from facts(paths, attempt, lock="free"))
    finally:
        yield Drop(lock)


def write_seal(run, reason, by, who):
    """Writes the seal; only for one who holds the lock of this run folder."""
    yield from put(run, SEALED, {"reason": reason, "by": by}, "seal", who + ".seal")


# ---- high-water mark -------------------------------------------------------------------------------------------------


def high_water(paths, job):
    """The highest attempt of a job that was ever started here; 0 when none was."""
    best = 0
    for line in ((yield Read(paths.high_water)) or b"").decode("ascii", "replace").split("\n"):
        words = line.split()
        if len(words) >= 2 and words[0] == job and words[1].isdigit():
            best = max(best, int(words[1]))
    return best


def raise_high_water(paths, attempt, label):
    """Notes durably that this attempt may start now. A torn line before it is closed off, never continued."""
    job, number = split(attempt)
    line = "\n%s %d\n" % (job, number)
    yield Append(paths.high_water, line.encode("ascii"), label=label)
