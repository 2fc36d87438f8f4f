"""Gives room back on a node: what ended long ago and was acknowledged, then code and environments used longest ago.

Nothing live is touched. A run folder goes only with its acknowledgement. Every attempt has files of its own, so a tree
that is kept for the next one may always go. An environment goes only when no attempt that is not acknowledged names it:
the specs are looked through again once its mark is gone, and a shepherd looks for the mark after its spec was written.

In a home that several machines share the environments and trees stay: who uses them cannot all be seen from here.
"""

import fcntl
import os
import time

from . import environment, folder
from .area import PRISTINE, SPARES, Area, TreeError
from .files import remove
from .points import around
from .real import perform

TRASH = ".trash."
_STAMP = "tidied"


def tidy(paths, limits):
    """{"runs", "trees", "environments"}: what was removed, by name; {} when it is not time yet, or under way already.

    `limits` holds `every_s` between two looks, `age_s` of an acknowledged end, `bytes` and `share` of the disk for
    trees and environments together (the smaller one counts), and `fresh_s` within which what was used stays.
    """
    stamp = paths.local(_STAMP)
    descriptor = os.open(stamp, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if status.st_size and time.time() < status.st_mtime + limits["every_s"]:
            return {}
        done = tidied(paths, limits, time.time())
        os.pwrite(descriptor, b"done\n", 0)
        return done
    except BlockingIOError:
        return {}
    finally:
        os.close(descriptor)


def forget(paths, attempt):
    """Removes an acknowledged attempt's files and, last, its run folder; whether it was one. Raises OSError."""
    if _modified(paths.run(attempt) + "/" + folder.ACKED) is None:
        return False
    remove(paths.job(attempt))
    remove(paths.run(attempt))
    return True


def tidied(paths, limits, now):
    """What `tidy` removes, whenever it was done last."""
    done = {"runs": [], "trees": [], "environments": []}
    for attempt in names(paths.runs):
        acked = _modified(paths.run(attempt) + "/" + folder.ACKED)
        if acked is not None and acked + limits["age_s"] <= now and forget(paths, attempt):
            done["runs"].append(attempt)
    if paths.root != paths.runroot:
        return done
    for attempt in names(paths.here("jobs")):
        made = _modified(paths.job(attempt))
        if made is not None and made + limits["age_s"] <= now and not os.path.lexists(paths.run(attempt)):
            remove(paths.job(attempt))
    _shrink(paths, limits, now, done)
    return done


def _shrink(paths, limits, now, done):
    """Removes what was used longest ago until the rest fits."""
    kept = sorted(_trees(paths) + _environments(paths), key=lambda thing: thing.used)
    total = sum(thing.bytes for thing in kept)
    disk = os.statvfs(paths.root)
    most = min(limits["bytes"], int(disk.f_blocks * disk.f_frsize * limits["share"]))
    for thing in kept:
        if total <= most or thing.used + limits["fresh_s"] > now:
            return
        if thing.bytes and thing.drop(paths, thing.name):
            total -= thing.bytes
            done[thing.kind].append(thing.name)


class _Thing:
    """Something that may go: `drop(paths, name)` tells whether it went."""

    def __init__(self, kind, name, place, used, drop):
        self.kind = kind
        self.name = name
        self.used = used
        self.bytes = freed(place)
        self.drop = drop


def _trees(paths):
    found = []
    for name in names(paths.here("w")):
        used = _modified(paths.here("w", name, "lock"))
        found.append(_Thing("trees", name, paths.here("w", name), used or 0.0, _drop_tree))
    return found


def _drop_tree(paths, name):
    area = Area(paths.here(), name)
    try:
        with area.lock(0):
            for copy in (PRISTINE,) + SPARES:
                area.discard(copy)
    except TreeError:
        return False
    area.sweep()
    return True


def _environments(paths):
    found = []
    for name in names(paths.here("env")):
        place = paths.env(name)
        if name.startswith(TRASH):
            remove(place)
        elif os.path.isdir(place):
            used = _modified(place + "/" + environment.MARKER)
            found.append(_Thing("environments", name, place, used or 0.0, _drop_environment))
    return found


def _drop_environment(paths, name):
    place = paths.env(name)
    lock = os.open(place + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if place in _in_use(paths):
            return False
        marker = place + "/" + environment.MARKER
        aside = marker + ".aside"
        if os.path.exists(marker):
            with around("tidy.aside"):
                os.rename(marker, aside)
            if place in _in_use(paths):
                with around("tidy.back"):
                    os.rename(aside, marker)
                return False
        trash = paths.env("%s%d.%d" % (TRASH, os.getpid(), time.monotonic_ns()))
        with around("tidy.trash"):
            os.rename(place, trash)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    remove(trash)
    return True


def _in_use(paths):
    """The folders of the environments that attempts name whose end is not acknowledged."""
    found = set()
    for attempt in names(paths.runs):
        if _modified(paths.run(attempt) + "/" + folder.ACKED) is None:
            spec = perform(folder.read_spec(paths, attempt))
            found.add(environment.folder(paths, spec) if spec else "")
    return found


def freed(place):
    """So many bytes of the disk come back when a folder goes: a file that has its name elsewhere too gives nothing."""
    total = 0
    for above, _, names in os.walk(place):
        for name in names:
            try:
                status = os.lstat(os.path.join(above, name))
            except FileNotFoundError:
                continue
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total


def names(place):
    """What lies in a folder, sorted; nothing where there is none."""
    try:
        return sorted(os.listdir(place))
    except FileNotFoundError:
        return []


def _modified(path):
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return None
