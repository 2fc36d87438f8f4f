"""Ports of nodes on this machine, for as long as a block runs: local ends, and what the controller says of the rest."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from afield.errors import AfieldError, UsageError
from afield.sdk.client import Client
from afield.sdk.http import Connection
from afield.sdk.relay import Relay, listen

Event = dict[str, Any]

_PORTS = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})")
_TOP = 65535
REFUSED = 3
"""So many connections must have been ended at once before that is told: programs do it too, when they begin."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is wanted: a place of the node (a port as "6006", a socket as "/…") and the port here.

    `local` 0 is any free one; unless `exactly`, a free one is taken where `local` is not to be had.
    """

    place: str
    local: int
    exactly: bool = False


def parse(word: str) -> Way:
    """`PORT`, or `LOCAL:PORT` in the order of ssh. Raises UsageError."""
    found = _PORTS.fullmatch(word)
    if not found or not 0 < int(found[2]) <= _TOP or int(found[1] or 0) > _TOP:
        raise UsageError(
            f"{word!r} is no port",
            hints=["6006", "8080:6006    6006 of the node is 8080 here", "0:6006    any free port here"],
        )
    place = str(int(found[2]))
    return Way(place, int(found[1] or place), exactly=bool(found[1] and int(found[1])))


class Forward:
    """Holds the forwards `ways` to a target: `{"node": …}`, or `{"job": …, "process": …}`.

    A port of this machine itself that is wanted under its own number is left alone: it is here already.
    """

    def __init__(self, client: Client, target: dict[str, Any], ways: Sequence[Way]) -> None:
        self._client = client
        self._wanted = {**target, "places": [way.place for way in ways]}
        self._ways = list(ways)
        self._relays: dict[str, Relay] = {}
        self._ports: dict[str, int] = {}
        self._events: queue.Queue[Event | AfieldError | None] = queue.Queue()
        self._connection: Connection | None = None
        self._listens: dict[str, bool | None] = {}
        self._refused: dict[str, int] = {}
        self._closed = False
        self.node = ""
        """Where it leads now."""

    def __enter__(self) -> Forward:
        threading.Thread(target=self._follow, name="forward", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.hang_up()
        for relay in self._relays.values():
            relay.close()

    def events(self) -> Iterator[Event]:
        """What happens: `open` (with `ports`: place to the port here), `listens`, `refused` (each
        connection is ended at once, though something listens), `cut`, `waiting`, last `end`.

        Raises what ends the forward: Conflict when a wanted port is taken, NotFound, Unreachable.
        """
        while (event := self.next()) is not None:
            yield event

    def next(self, within_s: float | None = None) -> Event | None:
        """The next of the events; None after the last. Raises also `queue.Empty` when none came in so many seconds."""
        event = self._events.get(timeout=within_s)
        if isinstance(event, AfieldError):
            raise event
        return event

    def _follow(self) -> None:
        try:
            with closing(self._client.forward(self._wanted, self._connected)) as frames:
                for head, _ in frames:
                    if self._closed:
                        return
                    self._events.put(self._led(head))
        except AfieldError as error:
            self._events.put(error)
        self._events.put(None)

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        if self._closed:
            connection.hang_up()

    def _led(self, head: Event) -> Event:
        """Lead the local ends where the news says; the news, for the caller."""
        if head["on"] == "open":
            self.node = head["node"]
            for way in self._ways:
                self._open(way, head["ways"][way.place])
            return {**head, "ports": dict(self._ports)}
        if head["on"] == "listens":
            self._listens[head["place"]] = head["yes"]
        if head["on"] in ("cut", "waiting", "end"):
            for relay in self._relays.values():
                relay.lead("")
        return head

    def _was_refused(self, place: str) -> None:
        """A connection was ended before a byte came. Where something listens all the same, that is worth a word."""
        if not self._listens.get(place):
            return
        self._refused[place] = self._refused.get(place, 0) + 1
        if self._refused[place] == REFUSED:
            self._events.put({"on": "refused", "place": place, "node": self.node})

    def _open(self, way: Way, at: str) -> None:
        if at == way.place == str(way.local):
            self._ports[way.place] = way.local
            return
        if way.place not in self._relays:
            refused = partial(self._was_refused, way.place)
            self._relays[way.place] = Relay(listen(way.local, exactly=way.exactly), refused)
            self._ports[way.place] = self._relays[way.place].port
        self._relays[way.place].lead(at)
