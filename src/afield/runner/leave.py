"""Cleans a node when a person asks: what is kept only for speed, or everything of a store, down to the last folder.

What belongs to other stores of the account is never touched, and what all stores share goes with the last one.
"""

import glob
import os
import time

from . import folder, tidy, verdict
from .files import remove
from .real import perform
from .refusal import Refusal

PARTS = ("bin", "locks", "r", "s")
"""What lies in our folder: all that may go where the folder is one that a person has linked to."""

ALL_OLD = {"age_s": 0, "bytes": 0, "share": 0, "fresh_s": 0}
KEEPER_S = 10.0


def look(paths):
    """What is there: attempts that are not over, ended ones that are not acknowledged, bytes, data, other stores.

    `closed` are the folders that this account cannot write (any more).
    """
    known = {attempt: perform(folder.facts(paths, attempt)) for attempt in tidy.names(paths.runs)}
    words = {attempt: verdict.verdict(facts) for attempt, facts in known.items()}
    places = {paths.root, paths.runroot}
    needed = sorted(place for place in {*places, paths.runs} if os.path.isdir(place))
    return {
        "closed": [place for place in needed if not os.access(place, os.W_OK | os.X_OK)],
        "live": sorted(a for a, word in words.items() if word not in verdict.CLOSED + (verdict.ABSENT,)),
        "waiting": sorted(a for a, word in words.items() if word in verdict.CLOSED and not known[a]["acked"]),
        "runs": len(words),
        "bytes": sum(tidy.freed(place) for place in _own(paths)),
        "data_bytes": sum(tidy.freed(paths.here(area)) for area in ("home", "shared")),
        "others": sorted({n for place in places for n in tidy.names(place + "/s")} - {paths.store}),
        "places": sorted(places),
    }


def clean(paths, every):
    """Removes what is kept for speed and ended runs, or with `every` all; {"runs", "trees", "environments", "bytes"}.

    Raises Refusal `not-allowed` while an attempt lives here.
    """
    found = look(paths)
    if found["live"]:
        jobs = " ".join(sorted({folder.split(attempt)[0] for attempt in found["live"]}))
        what = "attempts %s run on the node" % ", ".join(found["live"])
        raise Refusal("not-allowed", what, hints=("afield stop %s" % jobs,))
    if not every:
        done = tidy.tidied(paths, ALL_OLD, time.time())
        after = sum(tidy.freed(place) for place in _own(paths))
        gone = {kind: len(names) for kind, names in done.items()}
        return dict(gone, bytes=max(0, found["bytes"] - after), others=found["others"], left=[])
    done = {
        "runs": found["runs"],
        "trees": len(tidy.names(paths.here("w"))),
        "environments": sum(not n.endswith(".lock") for n in tidy.names(paths.here("env"))),
    }
    _end_keepers(paths)
    for place in _own(paths):
        remove(place)
    shared = 0
    if not found["others"]:
        shared = sum(tidy.freed(place) for place in found["places"])
        for place in found["places"]:
            _remove_all(place)
    cache = os.path.expanduser("~/.cache/uv")
    left = [cache] if os.path.isdir(cache) else []
    left += [place for place in found["places"] if os.path.lexists(place) and not os.path.islink(place)]
    return dict(done, bytes=found["bytes"] + shared, others=found["others"], left=left)


def _remove_all(place):
    """The whole folder. A link is a person's own, and other things may lie where it leads: these stay."""
    if not os.path.islink(place):
        remove(place)
        return
    for part in PARTS:
        remove(place + "/" + part)


def _own(paths):
    return sorted({paths.here(), paths.local()})


def _end_keepers(paths):
    """Every keeper of this store leaves: none of them has an attempt."""
    from . import door

    until = time.monotonic() + KEEPER_S
    for sock in glob.glob(glob.escape(paths.local()) + "/keeper-*.sock"):
        digest = os.path.basename(sock)[len("keeper-") : -len(".sock")]
        connection = door.tried(paths, digest)
        if connection is None:
            continue
        client = door.Client(paths, digest, connection)
        try:
            client.once({"do": "leave"})
        except door.KeeperLost:
            continue
        finally:
            client.close()
        while os.path.exists(sock) and time.monotonic() < until:
            time.sleep(0.01)
