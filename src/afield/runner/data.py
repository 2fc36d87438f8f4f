"""Data on the node: what a place is, what lies below it, and its files as a stream.

A place is an area (`home`, `shared`, `job`) or, with none, a folder of the account; its path may lead over links, as
the user said it. Below it no link is followed.
"""

import errno
import fnmatch
import os
import stat
import time

from . import blocks, files, folder
from .program import plain

BATCH = 2000
_KINDS = ((stat.S_ISDIR, "dir"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"))


def find(paths, head):
    """What a place is: its absolute `path`, `kind` (none, file, dir, other), size, mtime_ns, mode; `rsync` if asked."""
    path = os.path.realpath(os.path.join(_root(paths, head), _inside(head)))
    found = {"path": path, "kind": "none", "size": 0, "mtime_ns": 0, "mode": 0}
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is not None:
        found.update(_row(status))
    if head.get("tools"):
        found["rsync"] = _rsync()
    return found


def listing(_paths, head):
    """Replies with what lies below a folder, in batches: [path, kind, size, mtime_ns, mode, link target or None].

    A folder below it that this account may not look into is `closed`.
    """
    batch = []
    for row in _walk(os.fsencode(head["path"]), b"", head["deep"]):
        batch.append(row)
        if len(batch) == BATCH:
            yield {"entries": batch, "more": True}, b""
            batch = []
    yield {"entries": batch}, b""


def get(_paths, head):
    """Replies with files below a folder, [path, offset] each: `file`, its blocks from there on as `data`, its `sum`.

    A file that is gone, or no regular file any more, is `gone`; one that the system does not let us open is that with
    `closed`.
    """
    for path, offset in head["files"]:
        try:
            descriptor = files.enter(head["path"], path)
        except (OSError, ValueError) as error:
            yield dict(_gone(error), path=path, more=True), b""
            continue
        try:
            for reply, data in _one(descriptor, path, offset):
                yield dict(reply, path=path, more=True), data
        finally:
            os.close(descriptor)
    yield {"on": "done"}, b""


def ready(paths, head):
    """The regular files below a place, [path, kind, size, mtime_ns, mode, target, settled], and the place's `path`.

    A file is settled when nobody of this account has it open to write and it was quiet for `quiet_s`, or with `over`.
    With `patterns` only those that match one and that are younger than the attempt: what came with the code is not
    its output.
    """
    top = find(paths, head)["path"]
    since = os.stat(paths.run(head["attempt"]) + "/" + folder.SPEC).st_mtime_ns if head["patterns"] else 0
    rows = [
        row
        for row in (_walk(os.fsencode(top), b"", True) if os.path.isdir(top) else ())
        if row[1] in ("file", "link") and row[3] > since and _matches(row[0], head["patterns"])
    ]
    quiet = time.time_ns() - int(head["quiet_s"] * 1e9)
    writers = set() if head["over"] or not rows else _writers()
    for row in rows:
        row.append(head["over"] or (row[3] <= quiet and _identity(top, row[0]) not in writers))
    return {"path": top, "entries": rows}


def _matches(path, patterns):
    """Whether a pattern fits; one without a slash fits at any depth. Jupyter's own copies of notebooks are nobody's."""
    if ".ipynb_checkpoints" in path.split("/")[:-1]:
        return False
    name = path.rpartition("/")[2]
    return not patterns or any(fnmatch.fnmatchcase(path if "/" in p else name, p) for p in patterns)


def _identity(top, path):
    try:
        status = os.lstat(os.path.join(top, path))
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _writers():
    """(device, inode) of each file that a process of this account has open to write."""
    found = {None}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            for number in os.listdir("/proc/%s/fd" % pid):
                with open("/proc/%s/fdinfo/%s" % (pid, number)) as file:
                    flags = next((int(line.split()[1], 8) for line in file if line.startswith("flags:")), 0)
                if flags & os.O_ACCMODE:
                    status = os.stat("/proc/%s/fd/%s" % (pid, number))
                    found.add((status.st_dev, status.st_ino))
        except OSError:
            continue  # it ended, or belongs to somebody else
    return found


def _gone(error):
    """Why a file does not come. A link that took its place, or nothing there, is no trouble of the system's."""
    expected = isinstance(error, ValueError) or error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return {"on": "gone", "why": getattr(error, "strerror", None) or str(error), "closed": not expected}


def _one(descriptor, path, offset):
    status = os.fstat(descriptor)
    offset = blocks.whole(min(offset, status.st_size))
    yield dict(_row(status), on="file", offset=offset), b""
    total = blocks.prefix(descriptor, offset)
    for at, data in blocks.blocks(descriptor, offset, status.st_size):
        total.add(at, data)
        yield {"on": "data", "offset": at}, data
    after = os.fstat(descriptor)
    same = (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    yield {"on": "sum", "sum": total.end(status.st_size), "changed": not same}, b""


def _root(paths, head):
    area = head.get("area") or ""
    if area == "job":
        folder.split(head["attempt"])
        return paths.job(head["attempt"])
    if area == "home":
        return paths.here("home", plain(head["user"]))
    if area == "shared":
        return paths.here("shared")
    if area:
        raise ValueError("not an area: %r" % area)
    return os.path.expanduser("~")


def _inside(head):
    """The path as asked for; in an area it stays there. Raises ValueError."""
    path = head["path"]
    if not head.get("area"):
        return os.path.expanduser(path)
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("not a path in an area: %r" % path)
    return path


def _row(status):
    kind = next((word for test, word in _KINDS if test(status.st_mode)), "other")
    mode = stat.S_IMODE(status.st_mode)
    return {"kind": kind, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "mode": mode}


def _walk(top, prefix, deep):
    with os.scandir(os.path.join(top, prefix)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = prefix + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
            target = os.fsdecode(os.readlink(entry.path)) if stat.S_ISLNK(status.st_mode) else None
        except FileNotFoundError:
            continue
        row = _row(status)
        enters = deep and row["kind"] == "dir"
        if enters and not os.access(entry.path, os.R_OK | os.X_OK):
            row["kind"], enters = "closed", False
        yield [os.fsdecode(path), row["kind"], row["size"], row["mtime_ns"], row["mode"], target]
        if enters:
            yield from _walk(top, path + b"/", deep)


def _rsync():
    """The first line of `rsync --version`; "" where there is none."""
    import subprocess

    try:
        told = subprocess.run(["rsync", "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return ""
    return told.stdout.decode("ascii", "replace").partition("\n")[0]
