"""Places as people write them; a word without a colon before its first slash is a path here.

box1:data/x          in your area `home` on box1 (a job's USER_DIR)
box1:shared:data/x   in the area `shared` (a job's SHARED_DIR)
box1:/scratch/x      that folder of the node; box1:~/x in the account's home
12:keep/model.pt     in the folder of job 12; job:12:… and @last:… too
home:x  shared:x     on the node that is meant without being named
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from afield.errors import UsageError

HOME = "home"
SHARED = "shared"
AREAS = (HOME, SHARED)
_REMOTE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9_.@-]*:")


@dataclass(frozen=True, slots=True)
class Place:
    """A path on nodes (`node` "" is not named yet), or in the folder of a job; `area` "" is the account's own tree."""

    path: str
    node: str = ""
    worker: int | None = None
    job: int | str | None = None
    area: str = HOME

    @property
    def name(self) -> str:
        """The last part of the path; "" for the whole of an area."""
        return self.path.rstrip("/").rpartition("/")[2]

    def __str__(self) -> str:
        if self.job is not None:
            return f"{self.job}:{self.path}"
        area = f"{SHARED}:" if self.area == SHARED else ""
        return f"{self.node or 'home'}:{area}{self.path}"

    def on(self, node: str) -> Place:
        """The same place on a named node."""
        return replace(self, node=node)


def is_place(word: str) -> bool:
    """Whether a word names a place on a node or of a job."""
    return _REMOTE.match(word) is not None


def parse(word: str) -> Place:
    """The place that a word names. Raises UsageError."""
    head, colon, rest = word.partition(":")
    if not colon or "/" in head:
        raise UsageError(f"{word!r} is no place on a node", hints=["box1:data/x", "12:outputs/x", "afield help places"])
    if head == "job":
        head, _, rest = rest.partition(":")
        return _staying(Place(rest, job=_job(head, word), area=""))
    if head.isdigit() or head == "@last":
        return _staying(Place(rest, job=_job(head, word), area=""))
    if head in AREAS:
        return _pathed(Place(rest, area=head))
    if head == "node":
        head, _, rest = rest.partition(":")
    worker, colon, after = rest.partition(":")
    if colon and worker.isdigit():
        return _pathed(Place(after, node=head, worker=int(worker)))
    return _pathed(Place(rest, node=head))


def _pathed(place: Place) -> Place:
    """The place with what its path says of the area."""
    head, colon, rest = place.path.partition(":")
    if colon and head in AREAS:
        place = replace(place, area=head, path=rest)
    if place.path.startswith(("/", "~")):
        return replace(place, area="")
    return _staying(place)


def _staying(place: Place) -> Place:
    if ".." in place.path.split("/") or place.path.startswith("/"):
        raise UsageError(f"{place} leads out of its area", hints=["box1:/folder/x for a folder of the node"])
    return place


def _job(text: str, word: str) -> int | str:
    if text == "@last":
        return text
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{word!r} names no job", hints=["12:PATH, job:12:PATH or @last:PATH"])
    return int(text)
