"""Brings files and folders home from nodes: only what differs, whole or not at all, from where a cut left it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afield.errors import AfieldError, NotAllowed, NotFound, in_words
from afield.runner import blocks
from afield.sdk import rsync
from afield.sdk.client import Client
from afield.sdk.http import Gone
from afield.sdk.meter import Meter
from afield.sdk.patience import Patience
from afield.transport.landing import Brought, Here, Landing, offset_of, safe

Row = Sequence[Any]
AGAIN = 2
"""How often what arrived damaged is asked for."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where what is brought goes: a folder, a file in it under another name, under a folder `prefix` in it.

    With `replace` a file that is here and differs gives way; else it is moved aside.
    """

    folder: Path
    rename: str = ""
    prefix: str = ""
    replace: bool = False


def bring(client: Client, place: dict[str, Any], goal: Goal, meter: Meter) -> Brought:
    """Bring what is at a place of one node, which `client.places` gave; `closed` of it says what could not be read.

    Raises NotFound, NotAllowed for one file that cannot be read, Unreachable, `damaged`.
    """
    if place["kind"] == "none":
        raise NotFound(f"there is no {place['path']} on {place['node']}", hints=[f"afield ls {place['node']}:"])
    brought = Brought(goal.folder)
    patience, tries = Patience(), 0
    while True:
        try:
            _Bringing(client, place, goal, brought).run(meter)
            _check_one(place, brought)
            return brought
        except Gone as error:
            patience.wait(error)
        except OSError as error:
            raise AfieldError(f"nothing can be written to {goal.folder}", why=in_words(error)) from error
        except AfieldError as error:
            tries += 1
            if error.code != "damaged" or tries == AGAIN:
                raise


def _check_one(place: dict[str, Any], brought: Brought) -> None:
    """Raises AfieldError when the one file that was named did not come."""
    if place["kind"] == "dir":
        return
    if brought.closed:
        raise NotAllowed(f"{place['path']} on {place['node']} cannot be read", why=brought.closed[0][1])
    if not brought.refused:
        return
    raise NotFound(
        f"{place['path']} on {place['node']} cannot be brought",
        why="it is no plain file, or has just gone",
        hints=[f"afield ls {place['node']}:{place['path']}"],
    )


class _Bringing:
    """One try."""

    def __init__(self, client: Client, place: dict[str, Any], goal: Goal, brought: Brought) -> None:
        self._client = client
        self._place = place
        self._goal = goal
        self._brought = brought
        self._node = place["node"]
        self._top = place["path"] if place["kind"] == "dir" else os.path.dirname(place["path"])

    def run(self, meter: Meter) -> None:
        self._here = Here(self._goal.folder)
        self._brought.refused.clear()
        self._brought.closed.clear()
        self._brought.kept = 0
        rows = self._rows()
        wanted = [row for row in rows if row[1] == "file" and not self._kept(row)]
        meter.expect(len(wanted), sum(row[2] for row in wanted))
        wanted = self._by_rsync(wanted, meter)
        with Landing(self._brought, replace=self._goal.replace) as landing:
            for row in rows:
                if row[1] == "dir":
                    landing.make(self._name(row[0]))
                elif row[1] == "link":
                    landing.link(self._name(row[0]), row[5])
                elif row[1] == "closed":
                    self._brought.closed.append((row[0], "this folder is closed to your account there"))
                elif row[1] != "file":
                    self._brought.refused.append(row[0])
            if wanted:
                self._by_frames(landing, wanted, meter)

    def _rows(self) -> list[Row]:
        if self._place["kind"] == "dir":
            rows: list[Row] = list(self._client.entries(self._node, self._top))
        else:
            name = os.path.basename(self._place["path"])
            rows = [[name, *(self._place[k] for k in ("kind", "size", "mtime_ns", "mode")), None]]
        kept = []
        for row in rows:
            if not safe(os.fsencode(row[0]).split(b"/")):
                self._brought.refused.append(row[0])
            elif not row[0].endswith(os.fsdecode(blocks.PART)):
                kept.append(row)
        return kept

    def _name(self, path: str) -> str:
        name = self._goal.rename or path
        return f"{self._goal.prefix}/{name}" if self._goal.prefix else name

    def _kept(self, row: Row) -> bool:
        kept = self._here.get(self._name(row[0])) == (row[2], row[3])
        self._brought.kept += kept
        return kept

    def _by_rsync(self, wanted: list[Row], meter: Meter) -> list[Row]:
        """Much of what has no name here yet, by rsync where it can; gives what is left."""
        fresh = [row for row in wanted if self._here.get(self._name(row[0])) is None]
        if sum(row[2] for row in fresh) < rsync.WORTH or not rsync.usable(self._place):
            return wanted
        target = self._goal.folder / self._goal.prefix
        target.mkdir(parents=True, exist_ok=True)
        names = [os.fsencode(row[0]) for row in fresh]
        way = rsync.Way(
            os.fsencode(self._top),
            os.fsencode(target),
            names,
            self._place["reach"],
            up=False,
            rename=os.fsencode(self._goal.rename),
        )
        whole = rsync.copy(way, meter)
        # One file that it could not read is a failure of rsync's; all that has its name by now came nevertheless.
        came = [row for row in fresh if whole or self._here.get(self._name(row[0])) == (row[2], row[3])]
        self._brought.files += len(came)
        self._brought.bytes += sum(row[2] for row in came)
        done = {row[0] for row in came}
        return [row for row in wanted if row[0] not in done]

    def _by_frames(self, landing: Landing, wanted: list[Row], meter: Meter) -> None:
        asked = [(row[0], offset_of(self._here, self._name(row[0]), row[2], row[3])) for row in wanted]
        with closing(self._client.get(self._node, self._top, asked)) as frames:
            at = 0
            for head, data in frames:
                if head["on"] == "file":
                    at = head["offset"]
                    meter.add(at)
                    landing.begin({**head, "path": self._name(head["path"])})
                elif head["on"] == "data":
                    landing.write(head["offset"], data)
                    meter.add(head["offset"] + len(data) - at)
                    at = head["offset"] + len(data)
                elif head["on"] == "sum":
                    landing.finish(head["sum"], changed=head["changed"])
                elif head["on"] == "gone" and head.get("closed"):
                    self._brought.closed.append((head["path"], head["why"]))
                elif head["on"] == "gone":
                    self._brought.refused.append(head["path"])
