"""Ports of nodes on this machine, for as long as a block runs: local ends, and what the controller says of the rest."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
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

    A port of this machine itself that is wanted under its own number is left alone: it is here already. With `attempt`
    the places are those of that attempt of the job: where another one runs, nothing is led there until `move`.
    """

    def __init__(self, client: Client, target: dict[str, Any], ways: Sequence[Way], attempt: int = 0) -> None:
        self._client = client
        self._wanted = {**target, "places": [way.place for way in ways]}
        self._ways = list(ways)
        self._attempt = attempt
        self._thread: threading.Thread | None = None
        self.moved = False
        """Whether another attempt of the job runs now than the one that was meant."""
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
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()
        for relay in self._relays.values():
            relay.close()

    def move(self, way: Way, attempt: int) -> None:
        """Lead the one end here to where another attempt of the job is reached. The port here stays."""
        self._hang_up()
        if self._thread is not None:
            self._thread.join()
        before = self._ways[0].place
        if before in self._relays:
            self._relays = {way.place: self._relays[before]}
        if before in self._ports:
            way = replace(way, local=self._ports[before], exactly=False)
            self._ports = {way.place: way.local}
        self._ways = [way]
        self._wanted["places"] = [way.place]
        self._attempt, self.moved = attempt, False
        self._events = queue.Queue()
        self._listens, self._refused = {}, {}
        self._begin()

    def _begin(self) -> None:
        self._closed = False
        self._connection = None
        self._thread = threading.Thread(target=self._follow, name="forward", daemon=True)
        self._thread.start()

    def _hang_up(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.hang_up()

    def events(self) -> Iterator[Event]:
        """What happens: `open` (with `ports`: place to the port here), `moved` (another attempt runs: see `move`),
        `listens`, `refused` (each connection is ended at once, though something listens), `cut`, `waiting`, last `end`.

        Raises what ends the forward: Conflict when a wanted port is taken, NotFound, Unreachable.
        """
        while (event := self.next()) is not None:
            yield event

    def next(self, within_s: float | None = None) -> Event | None:
        """The next of the events; None after the last. Raises also `queue.Empty` when none came in so many seconds."""
        event = self._events.get(timeout=within_s)
        if isinstance(event, AfieldError):
            raise event
        if event is None:
            self._events.put(None)  # for whoever asks once more
        return event

    def _follow(self) -> None:
        try:
            with closing(self._client.forward(self._wanted, self._connected)) as frames:
                for head, _ in frames:
                    if self._closed:
                        return
                    if (event := self._led(head)) is not None:
                        self._events.put(event)
        except AfieldError as error:
            self._events.put(error)
        self._events.put(None)

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        if self._closed:
            connection.hang_up()

    def _led(self, head: Event) -> Event | None:
        """Lead the local ends where the news says; the news for the caller, if any."""
        if head["on"] == "open" and self._attempt and head["attempt"] not in (None, self._attempt):
            return self._gone(head)
        if head["on"] in ("listens", "cut") and self.moved:
            return None
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

    def _gone(self, head: Event) -> Event | None:
        for relay in self._relays.values():
            relay.lead("")
        told, self.moved, self.node = self.moved, True, head["node"]
        return None if told else {"on": "moved", "node": head["node"], "attempt": head["attempt"]}

    def _was_refused(self, number: int) -> None:
        """A connection was ended before a byte came. Where something listens all the same, that is worth a word."""
        place = self._ways[number].place
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
            refused = partial(self._was_refused, self._ways.index(way))
            self._relays[way.place] = Relay(listen(way.local, exactly=way.exactly), refused)
            self._ports[way.place] = self._relays[way.place].port
        self._relays[way.place].lead(at)
