"""What a forward says while it is held: addresses on stdout, what becomes of them on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afield.cli import show

if TYPE_CHECKING:
    from afield.sdk.offer import Offer

Event = Mapping[str, Any]


def link(url: str) -> str:
    """An address that a terminal makes clickable."""
    return f"\x1b]8;;{url}\x1b\\{url}\x1b]8;;\x1b\\" if show.coloured(sys.stdout) else url


def refusal(node: str) -> str:
    """What may be wrong where connections are ended at once."""
    return (
        f"the ssh server of {node} may not forward (AllowTcpForwarding, AllowStreamLocalForwarding in its sshd_config)"
    )


class Talk:
    """Tells the news of one forward. `fields` None: for people; else JSON lines. `offers` by their place have a URL."""

    def __init__(self, fields: str | None, offers: Mapping[str, Offer] | None = None) -> None:
        self._fields = fields
        self._offers = offers or {}
        self._told = False
        self._cut = False
        self._silent: set[str] = set()
        self._heard: set[str] = set()
        self._node = ""

    def begun(self, node: str) -> None:
        """The forward was opened, and its address told by somebody else."""
        self._told, self._cut, self._node = True, False, node

    def renewed(self, offers: Mapping[str, Offer]) -> None:
        """Another attempt offers something else: its address is told when that is open."""
        self._told, self._offers = False, offers

    def tell(self, event: Event) -> None:
        """One piece of news."""
        if self._fields is not None:
            wanted = self._fields.split(",") if self._fields else event.keys()
            print(json.dumps({"schema": 1, **{name: event.get(name) for name in wanted}}), flush=True)
            return
        {
            "open": self._open,
            "listens": self._listens,
            "refused": self._refused,
            "cut": self._was_cut,
            "moved": self._moved,
            "waiting": lambda e: show.say(f"waiting: {show.safe(e['why'])}"),
            "end": self._end,
        }[event["on"]](event)

    def _open(self, event: Event) -> None:
        moved, self._node = self._node != event["node"], event["node"]
        if self._cut or (self._told and moved):
            show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} the forward to {self._node} is there again")
        self._cut = False
        if self._told:
            return
        self._told = True
        for place, port in event["ports"].items():
            print(self._line(place, port), flush=True)
        show.hint("Ctrl-C closes it")

    def _moved(self, event: Event) -> None:
        self._cut = False
        show.say(f"attempt {event['attempt']} of the job is on {event['node']}; its page comes here when there is one")

    def _line(self, place: str, port: int) -> str:
        offer = self._offers.get(place)
        if offer is not None:
            return f"{offer.name}: {link(offer.url(port))}"
        where = f"{self._node}:{place}"
        return f"127.0.0.1:{port} → {show.safe(where)}"

    def _listens(self, event: Event) -> None:
        place = event["place"]
        shown = f"port {place}" if place.isdigit() else place
        if event["yes"]:
            if place in self._silent:
                show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} something listens at {shown} of {self._node} now")
            self._heard.add(place)
            self._silent.discard(place)
        elif event["yes"] is False:
            self._silent.add(place)
            again = "any more" if place in self._heard else "yet"
            show.say(f"nothing listens at {shown} of {self._node} {again}")

    def _refused(self, event: Event) -> None:
        sign = show.paint("!", show.YELLOW, sys.stderr)
        show.say(f"{sign} connections to {event['place']} are ended at once, though something listens there")
        show.say(f"  why: {refusal(event['node'])}")

    def _was_cut(self, event: Event) -> None:
        if not self._cut:
            self._cut = True
            why = f" ({show.safe(event['why'])})" if event["why"] else ""
            where = f"the connection to {event['node']} is lost" if event["node"] else "the way is lost"
            show.say(f"{show.paint('!', show.YELLOW, sys.stderr)} {where}{why}; it is opened again as soon as it can")

    def _end(self, event: Event) -> None:
        from afield.cli.follow import end_line

        show.say(end_line(event["job"]))
