"""The shepherd of one attempt on one node: refuses or starts its programs, watches them, writes down how they ended.

Nothing here touches the world but by effects. The order of what it writes is what the verdict rests on: the lock, the
high-water mark, started.json before the gate opens, exit.json before the zombie is reaped, final.json last.
"""

import functools
import traceback

from . import folder, killtree, login, program, stages
from .case import Case, Over
from .effects import Drop, Lock, Mkdir, Now, Open, Port, Put, Read, Self, Shut, Size, Subreaper, Tell
from .watch import Watch

TRACE = "it was started here before"
STARTED, HELD, REFUSED = "started", "held", "refused "


def shepherd(paths, attempt, secrets=None):
    """The whole life of a shepherd. It tells its keeper "started", "held" (by another one) or "refused REASON".

    `secrets`, values by name, reach the environment of what it starts and no file.
    """
    me = yield Self()
    run = paths.run(attempt)
    lock = yield Lock(run + "/" + folder.LOCK, label="shepherd.lock")
    if lock is None:
        yield Tell(HELD, label="shepherd.told")
        return
    try:
        reason = yield from _live(paths, attempt, me, secrets)
    except Exception:  # a bug of ours must leave a trace; the keeper goes on with the attempt
        yield Put(run + "/" + folder.TROUBLE, traceback.format_exc().encode("utf-8", "replace"))
        raise
    if reason:
        yield Drop(lock)
        yield Tell(HELD if reason == TRACE else REFUSED + reason, label="shepherd.told")


def _live(paths, attempt, me, secrets):
    """Why it was refused, or "" when it was cared for to its end."""
    run = paths.run(attempt)
    _, _, boot = yield Now()
    identity = {"pid": me["pid"], "start": me["start"], "boot": boot}
    before = yield Read(run + "/" + folder.LOCK, 200)
    yield Put(run + "/" + folder.LOCK, folder.dump(identity))
    spec = yield from folder.read_spec(paths, attempt)
    reason = yield from _refusal(paths, attempt, spec)
    devices = [] if reason else (yield from _devices(paths, spec))
    if isinstance(devices, str):
        reason, devices = devices, []
    if reason:
        if reason != TRACE:  # what was started here may live, and its end is still to be told
            yield from _refuse(run, reason)
        return reason
    yield Tell(STARTED, label="shepherd.told")
    case = Case(paths, attempt, spec, "shepherd", me)
    case.secrets = secrets or {}
    case.kin = functools.partial(_children, me["pid"])
    if before:
        yield from stages.end_left(case)
    case.proof = yield Subreaper()
    yield from _care(case, devices)
    return ""


def _children(me, table):
    yield from ()
    return {row.identity for row in killtree.children(table, me)}


# ---- refusing --------------------------------------------------------------------------------------------------------


def _refusal(paths, attempt, spec):
    """Why this attempt may not start here; "" when it may."""
    run = paths.run(attempt)
    old = yield from folder.sealed(run)
    if old is not None:
        return old["reason"] or "sealed"
    if spec is None:
        return "its spec.json cannot be read"
    if (yield from _trace(run, spec)):
        return TRACE
    job, number = folder.split(attempt)
    highest = yield from folder.high_water(paths, job)
    if number <= highest:
        return "attempt %d of job %s was started here before" % (highest, job)
    return ""


def _trace(run, spec):
    places = [folder.process(run, process["rank"]) for process in spec["processes"]]
    names = [run + "/" + folder.FINAL] + [p + "/" + n for p in places for n in (folder.STARTED, folder.EXIT)]
    for name in names:
        if (yield Size(name)) is not None:
            return True
    return False


def _refuse(run, reason):
    if (yield from folder.sealed(run)) is None:
        yield from folder.write_seal(run, reason, "shepherd", "shepherd")


def _devices(paths, spec):
    """The locks of all devices of the attempt as [(id, handle)], or why one cannot be had."""
    wanted = sorted({str(device) for process in spec["processes"] for device in process.get("devices") or ()})
    taken = []
    for device in wanted:
        path = paths.device_lock(device)
        yield Mkdir(path.rpartition("/")[0])
        handle = yield Lock(path, label="shepherd.device")
        if handle is None:
            for _, other in taken:
                yield Drop(other)
            return "device %s is held by %s" % (device, (yield from _holder(path)))
        holder = "job %s of store %s, user %s" % (spec.get("job"), paths.store, spec.get("user") or "?")
        yield Put(path, holder.encode("utf-8", "replace"))
        taken.append((device, handle))
    return taken


def _holder(path):
    text = ((yield Read(path, 200)) or b"").decode("utf-8", "replace").strip()
    return "".join(c for c in text if c.isprintable()) or "another process"


# ---- caring ----------------------------------------------------------------------------------------------------------


def _care(case, devices):
    """From the lock to final.json."""
    try:
        yield Put(case.run + "/" + folder.RESERVE, b"\0" * folder.RESERVE_BYTES)
        kitchen = program.Kitchen(case, (yield from login.path(case)))
        yield from kitchen.prepare()
        yield from stages.run_all(case, kitchen)
        gang = yield from _gather(case)
        watch = yield from _start(case, kitchen, gang, devices)
    except Over as over:
        yield from end_early(case, over)
        return
    except OSError as error:
        yield from _give_up(case, "could not start: %s" % error)
        return
    yield from watch.follow()
    yield from watch.finish()


def end_early(case, over):
    """The end of an attempt whose programs never ran: nothing is left alive, sealed, and said."""
    yield from stages.end_left(case)
    if over.why is None and over.stage is None:
        yield from case.seal(over.by)
        return
    yield from case.final(why=over.why, by=over.by, stage=over.stage)
    yield from case.done()


def _give_up(case, reason):
    """Nothing ran and nothing will: what waits behind gates leaves, and the seal says why."""
    yield from stages.end_left(case)
    for process in case.spec["processes"]:
        place = "p%d" % process["rank"]
        inside = case.run + "/" + place + "/"
        # What left its gate says so itself, but not on a full disk.
        if (yield Size(inside + folder.STARTED)) is not None and (yield Size(inside + folder.EXIT)) is None:
            yield from case.record(place + "/" + folder.EXIT, program.UNOPENED, "exit")
    yield from case.seal(reason)


def _gather(case):
    """The variables that all members of a gang share; waits for `go`. Alone: the meeting point on this node."""
    if not case.spec.get("gang"):
        return (yield from program.meeting(case.spec))
    ranks = [process["rank"] for process in case.spec["processes"]]
    port = (yield Port()) if 0 in ranks else None
    yield from case.put(folder.READY, {"port": port}, "ready")
    _, mono, _ = yield Now()
    until = mono + float(case.spec.get("gate_s") or 120)
    while True:
        go = yield from folder.load(case.run + "/" + folder.GO, case.nonce)
        if go is not None:
            return {str(name): str(value) for name, value in (go.get("variables") or {}).items()}
        yield from stages.stopped(case)
        _, mono, _ = yield Now()
        if mono >= until:
            raise OSError(110, "the other nodes of the attempt were not ready in time")
        yield from stages.pause(min(until, mono + stages.POLL_S))


def _start(case, kitchen, gang, devices):
    """Forks every program behind its gate, writes all of them down, then opens all gates. The Watch over them."""
    yield from stages.stopped(case)
    yield from folder.raise_high_water(case.paths, case.attempt, "shepherd.mark")
    members, gates = [], []
    try:
        for process in case.spec["processes"]:
            own = {str(device) for device in process.get("devices") or ()}
            locks = [handle for device, handle in devices if device in own]
            merge = bool(case.spec.get("merge"))
            plan = stages.Plan(kitchen.argv(process), kitchen.variables(process, gang), kitchen.cwd, locks, merge)
            member, gate = yield from stages.fork(case, "p%d" % process["rank"], process["rank"], plan)
            members.append(member)
            gates.append(gate)
        yield from stages.stopped(case)
    except (OSError, Over):
        for gate in gates:
            yield Shut(gate)
        raise
    _, mono, _ = yield Now()
    for gate in gates:
        yield Open(gate, label="shepherd.open")
    return Watch(case, members, mono)
