"""Processes of the real world: forking programs and actors, identities, signals, exits that wait to be written."""

import gc
import os
import pwd
import signal
import time

from . import bootid, environment, real_exec, real_files, real_wait
from .effects import Write
from .killtree import Row

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
CHILDREN = "/proc/thread-self/children"  # where the kernel has CONFIG_PROC_CHILDREN
HIGH = 200  # inherited locks go above what scripts use by number
_HEARD = {signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
_CHANGED = _HEARD | {signal.SIGPIPE, signal.SIGXFSZ}  # by us, by Python
_IGNORED = {n for n in range(1, signal.NSIG) if signal.getsignal(n) == signal.SIG_IGN}  # by who started us, too


def program(_world, effect):
    """See effects.Program. What may fail for want of space comes before the fork: a child could only leave."""
    streams = real_exec.open_streams(effect.out, effect.err)
    entrance, gate = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(effect, entrance, streams)
    for descriptor in (entrance, *streams):
        os.close(descriptor)
    found = _stat(pid)
    return {"pid": pid, "start": found[3] if found else 0, "gate": gate}


def _become(effect, entrance, streams):
    """The child of `program`: never returns."""
    try:
        os.setsid()
        call_it("gate")
        _forget_signals()
        real_exec.take_streams(*streams)
        keep = [real_exec.lift(handle, HIGH) for handle in effect.inherit]
        close_all(keep + [entrance])
        if not os.read(entrance, 1):
            _leave_unopened(effect.unopened)
        os.close(entrance)
        real_exec.run(effect.argv, effect.env, effect.cwd)
    finally:
        os._exit(126)


def _leave_unopened(record):
    """Never returns. Without its record on the disk an exit would look like a program's: then it is a kill."""
    try:
        if record:
            real_files.write(None, Write(record[0], record[1], "gate"))
        os._exit(0)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _forget_signals():
    signal.set_wakeup_fd(-1)
    for number in _CHANGED | _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def close_all(keep):
    """Closes every descriptor above 2 that is not in `keep`."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the listing's own


def open_gate(_world, effect):
    """See effects.Open."""
    try:
        os.write(effect.gate, b"1")
    except BrokenPipeError:
        pass  # it was killed at the gate: its exit says so
    os.close(effect.gate)


def shut_gate(_world, effect):
    """See effects.Shut."""
    os.close(effect.gate)


def spawn(world, effect):
    """See effects.Spawn."""
    ear, mouth = os.pipe()
    getattr(gc, "freeze", gc.disable)()  # a child that never collects shares our memory; PyPy has no freeze
    pid = os.fork()
    if pid == 0:
        gc.disable()
        _act(world, effect, mouth)
    os.close(mouth)
    os.set_blocking(ear, False)
    world.told[ear] = pid
    found = _stat(pid)
    return {"pid": pid, "start": found[3] if found else 0}


def _act(world, effect, mouth):
    """The child of `spawn`: never returns, keeps nothing of its parent's but the way to speak to it."""
    status = 70
    try:
        os.setsid()
        call_it(effect.role)
        signal.set_wakeup_fd(-1)
        close_all([mouth])
        world.act(effect.role, effect.arguments, mouth)
        status = 0
    finally:
        os._exit(status)


def tell(world, effect):
    """See effects.Tell."""
    if world.mouth < 0:
        return
    try:
        os.write(world.mouth, effect.text.encode("utf-8", "surrogateescape")[:4096])
    except BrokenPipeError:
        pass
    os.close(world.mouth)
    world.mouth = -1


# ---- looking at processes --------------------------------------------------------------------------------------------


def _stat(pid):
    """(parent, session, state, start) of a pid; None when it is gone."""
    text = _peep(pid, "stat")
    if not text:
        return None
    words = text[text.rindex(b")") + 2 :].split()
    return int(words[1]), int(words[3]), words[0].decode("ascii"), int(words[19])


def identity(_world, effect):
    """See effects.Identity."""
    found = _stat(effect.pid)
    return None if found is None else (found[3], found[2], found[0])


def processes(_world, _effect):
    """See effects.Processes."""
    rows = []
    for name in os.listdir("/proc"):
        found = _stat(int(name)) if name.isdigit() else None
        if found is not None:
            parent, session, state, start = found
            rows.append(Row((int(name), start), parent, session, state, (_mark(name), _command(name))))
    return rows


def _mark(pid):
    at = b"\0" + _peep(pid, "environ")
    begin = at.find(b"\0AFIELD_MARK=")
    if begin < 0:
        return ""
    value = at[begin + len(b"\0AFIELD_MARK=") :].split(b"\0", 1)[0]
    return value.decode("utf-8", "surrogateescape")


def _command(pid):
    words = _peep(pid, "cmdline").replace(b"\0", b" ").strip()
    text = words[:80].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _peep(pid, name):
    try:
        descriptor = os.open("/proc/%s/%s" % (pid, name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""  # gone, or somebody else's
    try:
        return real_files.whole(descriptor, 1 << 24)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def send_signal(_world, effect):
    """See effects.Signal. Through a pidfd where there is one: the number cannot change hands in between."""
    try:
        if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            return _signal_by_descriptor(effect)
        return _is(effect) and os.kill(effect.pid, effect.signum) is None
    except (ProcessLookupError, PermissionError):
        return False


def _signal_by_descriptor(effect):
    try:
        descriptor = os.pidfd_open(effect.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel older than the Python
        return _is(effect) and os.kill(effect.pid, effect.signum) is None
    try:
        return _is(effect) and signal.pidfd_send_signal(descriptor, effect.signum) is None
    finally:
        os.close(descriptor)


def _is(effect):
    found = _stat(effect.pid)
    return found is not None and found[3] == effect.start and found[2] not in "ZX"


# ---- exits -----------------------------------------------------------------------------------------------------------


def children(_world, _effect):
    """See effects.Children."""
    try:
        real_wait.peek(None)
    except ChildProcessError:
        return False
    return True


def ended(_world, effect):
    """See effects.Ended."""
    found = _peek(effect.pid)
    return None if found is None else found[1:]


def exits(world):
    """[(pid, code, signal)] of all children that ended and were not reported yet."""
    try:
        first = real_wait.peek(None)
    except ChildProcessError:
        return []
    # The kernel shows one zombie at a time, the same one until it is reaped: look for the others by name.
    pids = {first[0], *_children()} if first is not None else ()
    found = [_peek(pid) for pid in sorted(pids) if pid not in world.seen]
    fresh = [leave for leave in found if leave is not None]
    world.seen.update(leave[0] for leave in fresh)
    return fresh


def _children():
    """Pids of children; some may be missing that come while the kernel counts, or where no descriptor is left."""
    try:
        if os.path.exists(CHILDREN):
            with open(CHILDREN) as file:
                return [int(word) for word in file.read().split()]
        me, pids = os.getpid(), map(int, filter(str.isdigit, os.listdir("/proc")))
        return [pid for pid in pids if (_stat(pid) or (0,))[0] == me]
    except OSError:
        return []


def _peek(pid):
    try:
        return real_wait.peek(pid)
    except ChildProcessError:
        return None


def reap(world, effect):
    """See effects.Reap."""
    world.seen.discard(effect.pid)
    try:
        _, _, usage = os.wait4(effect.pid, 0)
    except ChildProcessError:
        return {"cpu_s": 0.0, "rss_bytes": 0}
    return {"cpu_s": round(usage.ru_utime + usage.ru_stime, 3), "rss_bytes": usage.ru_maxrss * 1024}


# ---- this process ----------------------------------------------------------------------------------------------------


def call_it(role):
    """Names this process for `ps`, `top` and `pgrep`: afield-link, -clerk, -keeper, -shepherd, -gate."""
    descriptor = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(descriptor, b"afield-" + role.encode("ascii"))
    os.close(descriptor)


def opened(_world, effect):
    """See effects.Opened."""
    folder, found = "/proc/%d/fd/" % effect.pid, []
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        try:
            found.append(os.readlink(folder + name))
        except OSError:
            continue  # closed meanwhile
    return found


def now(_world, _effect):
    """See effects.Now."""
    return time.time(), time.monotonic(), bootid.boot_id()


def this(_world, _effect):
    """See effects.Self."""
    pid = os.getpid()
    if not _account:
        _account[:] = _look_up()
    name, home, shell = _account
    found = _stat(pid)
    return {
        "pid": pid,
        "start": found[3] if found else 0,
        "uid": os.getuid(),
        "user": name,
        "home": os.environ.get("HOME") or home,
        "shell": os.environ.get("SHELL") or shell or "/bin/sh",
        "environ": dict(os.environ),
    }


def _look_up():
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:  # containers run under numbers without names
        return str(os.getuid()), "/", ""
    return account.pw_name, account.pw_dir, account.pw_shell


_account = []  # asked once: a directory service may be slow


def environment_of(_world, effect):
    """See effects.Environment."""
    needed = environment.needed(effect.paths, effect.spec)
    argv, extra = environment.argv(effect.paths, effect.spec) if needed else ([], {})
    live = environment.variables(effect.paths, effect.spec)
    python = environment.python(effect.paths, effect.spec)
    return {"needed": needed, "argv": argv, "extra": extra, "python": python, "variables": live}


def subreaper(world, _effect):
    """See effects.Subreaper."""
    try:
        import ctypes  # some builds of Python come without it
    except ImportError:
        return False
    world.subreaper = ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0) == 0
    return world.subreaper
