"""Reads how far a program says that it is: the file that `afield.current().progress` writes in the attempt's folder.

Programs may write anything there: what is no such word counts as nothing said, and nothing here waits or fails.
"""

import json
import os

MOST = 4096
HUGE = 1e300
LAST_SECOND = 253402300800  # where the year 10000 begins
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def progress(paths, attempt):
    """What the first process said last: `done`, `total` (None: not known), `at` (unix seconds); None for nothing."""
    try:
        descriptor = os.open(paths.job(attempt) + "/progress/0", _READ)
    except OSError:
        return None
    try:
        return word(os.read(descriptor, MOST))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def word(data):
    """The progress that these bytes tell; None when they tell none."""
    try:
        said = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    done, total, at = _number(said.get("done")), _number(said.get("total")), _number(said.get("at"))
    if done is None or at is None or not 0 <= at < LAST_SECOND or (total is None) != (said.get("total") is None):
        return None
    return {"done": done, "total": total, "at": at}


def _number(value):
    return value if type(value) in (int, float) and abs(value) < HUGE else None
