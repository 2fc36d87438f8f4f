"""What runs before the programs: environment, setup, preflight. Processes like any other, with folders of their own."""

from . import folder, memory, program
from .case import Over
from .effects import Drop, List, Lock, Mkdir, Now, Open, Program, Reap, Shut, Size, Unlink, Wait, Write
from .watch import Member, Watch

POLL_S = 1.0


def end_left(case):
    """Ends all that lives of an attempt without programs.

    What killed watchers left of a stage is nobody's child, and without a mark until it leaves its gate.
    """
    _, mono, boot = yield Now()
    members = []
    for name in (yield List(case.run + "/" + folder.STAGES)) or ():
        place = folder.STAGES + "/" + name
        started = yield from folder.load("%s/%s/%s" % (case.run, place, folder.STARTED), case.nonce)
        if started is not None and started.get("boot") == boot:
            left = Member(place, started["pid"], started["start"])
            left.ended = True  # how it ends is asked by nobody
            members.append(left)
    yield from Watch(case, members, mono, rules=False).clear()


def run_all(case, kitchen):
    """Runs every stage that has not been done. Raises Over when one fails or the attempt is stopped, or OSError."""
    environment = yield from kitchen.look()
    if environment["needed"]:
        yield from _run(case, "environment", environment["argv"], kitchen.building(environment["extra"]), kitchen.cwd)
        yield from kitchen.look()
    for step in case.spec.get("stages") or ():
        key = step.get("key") if step["name"] == "setup" else ""
        env = kitchen.shared({}, step.get("variables") or {})
        argv = [str(word) for word in step["argv"]]
        if key:
            yield from _once(case, key, (step["name"], argv, env, kitchen.cwd))
        else:
            yield from _run(case, step["name"], argv, env, kitchen.cwd)


def _once(case, key, step):
    """Runs a setup unless it was done on this node; who comes second waits for the first and then need not run it."""
    done = case.paths.setup(key)
    yield Mkdir(done.rpartition("/")[0])
    lock = yield from _lock(case, done + ".lock")
    try:
        if (yield Size(done)) is None:
            yield from _run(case, *step)
            yield Write(done, b"done\n", case.nonce, label=case.label("setup"))
    finally:
        yield Drop(lock)


def _lock(case, path):
    while True:
        lock = yield Lock(path, 0.0)
        if lock is not None:
            return lock
        yield from stopped(case)
        _, mono, _ = yield Now()
        yield from pause(mono + POLL_S)


def pause(until):
    """Waits for a poke or a time; whatever child ends meanwhile is none of a program."""
    for happening in (yield Wait(until)):
        if happening[0] == "exit":
            yield Reap(happening[1])


def stopped(case):
    """Raises Over when the attempt was ordered to stop."""
    for order in (yield from folder.stops(case.run, case.nonce)):
        raise Over(why=str(order.get("why")), by=str(order.get("by", "")))


def _run(case, name, argv, env, cwd):
    yield from stopped(case)
    member, gate = yield from fork(case, folder.STAGES + "/" + name, None, Plan(argv, env, cwd))
    _, mono, _ = yield Now()
    yield Open(gate, label=case.label("stage"))
    watch = Watch(case, [member], mono, rules=False)
    yield from watch.follow()
    if watch.stop is not None:
        yield from watch.clear()
        raise Over(why=watch.stop.why, by=watch.stop.by)
    if member.code != 0:
        yield from watch.clear()
        raise Over(stage=name)


class Plan:
    """How one process is to be run; `locks` are handles that it inherits, `merge` sends its errors to `out`."""

    def __init__(self, argv, env, cwd, locks=(), merge=False):
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.locks = locks
        self.merge = merge


def fork(case, place, rank, plan):
    """(Member, gate) of a process that waits behind its gate, with started.json on disk. Raises OSError."""
    inside = case.run + "/" + place
    yield Mkdir(inside, label=case.label("folder"))
    tree = yield Lock(inside + "/" + folder.TREE, label=case.label("tree"))
    if tree is None:
        raise OSError(11, "some process still holds the lock", inside)
    if rank is None:
        # A shepherd that was killed may have begun this stage: how that try ended is not how this one does.
        for name in (folder.STARTED, folder.EXIT):
            yield Unlink(inside + "/" + name)
    try:
        born = yield Program(
            plan.argv,
            plan.env,
            plan.cwd,
            inside + "/" + folder.OUT,
            inside + "/" + (folder.OUT if plan.merge else folder.ERR),
            (tree,) + tuple(plan.locks),
            program.unopened(case, place),
            label=case.label("fork"),
        )
    finally:
        yield Drop(tree)
    try:
        yield from case.put(place + "/" + folder.STARTED, (yield from _birth(case, born)), "started")
    except OSError:
        yield Shut(born["gate"])
        raise
    return Member(place, born["pid"], born["start"], rank), born["gate"]


def _birth(case, born):
    wall, mono, boot = yield Now()
    value = {"boot": boot, "pid": born["pid"], "start": born["start"], "at": wall, "mono": mono}
    value["oom"] = yield from memory.kills()
    return dict(value, shepherd=[case.me["pid"], case.me["start"]], subreaper=case.proof)
