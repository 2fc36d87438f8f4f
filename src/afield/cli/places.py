"""What the verbs for data share: which nodes a place is on, doing something on each, showing how far it is."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, show
from afield.errors import AfieldError, Exit, UsageError, from_dict

if TYPE_CHECKING:
    from afield.sdk.client import Client
    from afield.sdk.meter import Meter
    from afield.sdk.places import Place

View = dict[str, Any]

AT_ONCE = 8
QUIET_S = 0.3
PACE_S = 0.1


@dataclass(frozen=True, slots=True)
class Where:
    """What the options say: nodes, all of them, or workers of a job ("all" or their numbers)."""

    nodes: tuple[str, ...] = ()
    all: bool = False
    workers: str = ""


def where_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options that name nodes and workers; it gets them as `where`."""

    @functools.wraps(function)
    def command(nodes: tuple[str, ...], all_: bool, workers: str, **rest: Any) -> Any:
        names = tuple(name for text in nodes for name in text.split(",") if name)
        return function(where=Where(names, all_, workers), **rest)

    for option in (
        click.option("-w", "--worker", "workers", default="", metavar="N,…|all", help="Workers of the job."),
        click.option("--all", "all_", is_flag=True, help="On every node, or every worker of the job."),
        click.option(
            "-n", "--node", "nodes", multiple=True, help="On this node; may be given again, or several as a,b."
        ),
    ):
        command = option(command)
    return command


def resolve(client: Client, place: Place, where: Where, *, tools: bool = False) -> list[View]:
    """The place on each node that it is meant to be on. Raises what a single node says; of several each has its own."""
    body: View = {"path": place.path, "tools": tools}
    if place.job is not None:
        if where.nodes:
            raise UsageError("a job has workers, not nodes", hints=["-w 0", "-w all"])
        said = "all" if where.all else where.workers
        body |= {"job": context.number(client, place.job), "workers": context.workers(said) if said else []}
    else:
        body |= {"nodes": _nodes(client, place, where), "area": place.area}
    found = client.places(body)
    if len(found) == 1 and "error" in found[0]:
        raise from_dict(found[0]["error"])
    return found


def _nodes(client: Client, place: Place, where: Where) -> list[str] | None:
    if where.workers or place.worker not in (None, 0):
        raise UsageError("a node has no other workers than 0; jobs have", hints=["afield ls 12: -w all"])
    if sum((bool(place.node), bool(where.nodes), where.all)) > 1:
        raise UsageError("the nodes are named twice", hints=["NODE:PATH, or :PATH's node by -n, or --all"])
    if where.all:
        return None
    if place.node or where.nodes:
        return [place.node] if place.node else [name.removeprefix("node:") for name in where.nodes]
    known = [node["name"] for node in client.nodes() if node["name"] != "local"] or ["local"]
    if len(known) > 1:
        raise UsageError(
            f"{place} could be on {len(known)} nodes: say which",
            why=", ".join(known),
            hints=[f"{known[0]}:{place.path}", f"-n {known[0]}", "--all"],
        )
    return known


def label(place: View, *, job: bool) -> str:
    """What the folder of one of several places is called: `wN` of a job, else the node."""
    return f"w{place['worker']}" if job else str(place["node"])


def each(places: Sequence[View], work: Callable[[View], None]) -> int:
    """Do something for each place, several at once; errors are shown with their node. The worst exit status."""
    if len(places) == 1:
        work(places[0])
        return 0

    def one(place: View) -> AfieldError | None:
        try:
            if "error" in place:
                raise from_dict(place["error"])
            work(place)
        except AfieldError as error:
            return error
        return None

    errors = _at_once(places, one)
    for place, error in zip(places, errors, strict=True):
        if error is not None:
            show.say(f"{place['node']}: {show.error_text(error)}")
    return max((int(error.exit) for error in errors if error is not None), default=0)


def _at_once(places: Sequence[View], one: Callable[[View], AfieldError | None]) -> list[AfieldError | None]:
    """What `one` gives for each place. Who interrupts the command waits for no place, as a pool of threads would."""
    todo = deque(enumerate(places))
    found: list[AfieldError | None] = [None] * len(places)
    broken: list[Exception] = []

    def work() -> None:
        while not broken:
            try:
                number, place = todo.popleft()
            except IndexError:
                return
            try:
                found[number] = one(place)
            except Exception as error:  # noqa: BLE001 raised again below, in the thread that can tell it
                broken.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(places)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return found


def unread(closed: Sequence[tuple[str, str]], where: str, *, quiet: bool = False) -> int:
    """Name each file that could not be read, with why, unless `quiet`; the exit status that follows from them."""
    if not closed:
        return 0
    if not quiet:
        error = AfieldError(
            f"{show.files(len(closed))} could not be read, all else is done",
            why="; ".join(f"{show.safe(path)}: {why}" for path, why in closed),
            hints=[
                f"let your account read {'it' if len(closed) == 1 else 'them'} {where}, then the same command again"
            ],
        )
        show.say(show.error_text(error))
    return int(Exit.FAILED)


def named(closed: Sequence[tuple[str, str]]) -> list[View]:
    """The same files as rows of JSON."""
    return [{"path": path, "why": why} for path, why in closed]


class Progress:
    """How far copies are, on one line of a terminal that gives way; off one nothing is shown until the end."""

    def __init__(self, word: str) -> None:
        from afield.sdk.meter import Meter

        self.meter: Meter = Meter()
        self._word = word
        self._began = time.monotonic()
        self._shown = 0.0
        self._lock = threading.Lock()
        self._tty = sys.stderr.isatty()
        self.meter.changed = self._draw

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Take the line away; what still copies when the command was interrupted draws no other one."""
        with self._lock:
            self._tty = False
            if self._shown:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        now = time.monotonic()
        if not self._tty or now - self._began < QUIET_S or now - self._shown < PACE_S:
            return
        with self._lock:
            if not self._tty:
                return
            self._shown = now
            meter = self.meter
            part = f"{meter.done * 100 // meter.bytes} %" if meter.bytes else ""
            speed = f"{show.size(int(meter.done / self.seconds))}/s"
            text = f"{self._word} {show.size(meter.done)} of {show.size(meter.bytes)}  {part}  {speed}"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
