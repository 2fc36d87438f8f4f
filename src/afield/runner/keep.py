"""A keep folder handed on: from an earlier attempt on this node, or from what the controller brought here."""

import os
import shutil

from . import files, folder
from .points import around

PART = ".keep.part"


def take(paths, head):
    """Gives an attempt that has no keep folder yet that of `source`, or what came to `part` when it has `arrived`.

    `state` is already, taken, or missing; then the controller brings it to `part`. With `same` both attempts are of one
    job, and files are shared with the one that is over; else they are copied.
    """
    for attempt in [head["attempt"]] + ([head["source"]] if head["source"] else []):
        folder.split(attempt)
    job = paths.job(head["attempt"])
    keep, part = job + "/keep", job + "/" + PART
    if os.path.isdir(keep):
        return {"state": "already"}
    if head["source"]:
        old = paths.job(head["source"]) + "/keep"
        if not os.path.isdir(old):
            return {"state": "missing", "part": part}
        files.remove(part)
        os.makedirs(job, 0o700, exist_ok=True)
        shutil.copytree(old, part, symlinks=True, copy_function=_share if head["same"] else shutil.copy2)
    elif not head["arrived"]:
        return {"state": "missing", "part": part}
    if os.path.isdir(part):
        with around("keep.take"):
            os.rename(part, keep)
    return {"state": "taken"}


def _share(source, target, follow_symlinks=True):
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
