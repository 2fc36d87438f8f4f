"""Which nodes have what a job needs, node by node: for the one line at its start and the table when none fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from afield.errors import AfieldError, NothingFits
from afield.model.amount import about_bytes, format_cpu
from afield.model.ids import NodeName
from afield.model.node import Health, Node
from afield.model.request import ProcessGroup, Request
from afield.model.world import World
from afield.plan.fit import fit, shape
from afield.plan.free import Offer, Room, Slot, allowed, usable
from afield.plan.possible import parts

SHOWN = 4
"""So many nodes are named in one line."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one node: whether it has room for a process now, why not, how old that knowledge is."""

    node: NodeName
    fits: bool
    why: str
    age_s: float | None


def needs(request: Request) -> bool:
    """Whether a request asks for amounts of which nodes have more or less to spare."""
    return any(g.device_bytes or g.memory_bytes or g.disk_bytes for g in request.groups)


def verdicts(request: Request, words: tuple[str, ...], world: World, now: float) -> list[Verdict]:
    """Every node that the job may use, in order of names. `now` is UTC seconds."""
    room = Room.now(world)
    found = []
    for node in sorted(world.nodes.values(), key=lambda n: n.name):
        if node.health is Health.GONE or not allowed(words, node):
            continue
        why = _why_not(shape(request.groups), node, room)
        found.append(Verdict(node.name, not why, why, None if node.seen_at is None else max(0.0, now - node.seen_at)))
    return found


def passed_over(told: Iterable[Verdict], taken: Iterable[NodeName]) -> str:
    """Why the other nodes were not taken, in one line; "" when there is no other."""
    chosen = set(taken)
    others = [f"{v.node} {v.why or 'has more to spare'}" for v in told if v.node not in chosen]
    more = [f"{len(others) - SHOWN} more"] if len(others) > SHOWN else []
    return "; ".join([*others[:SHOWN], *more])


def table(error: AfieldError, told: Sequence[Verdict]) -> NothingFits:
    """The refusal of a request that no node can meet, with a line for each: what it lacks, and when it was asked."""
    width = max((len(v.node) for v in told), default=0)
    lines = [f"{v.node:<{width}}  {v.why or 'fits one process'}{_asked(v.age_s)}" for v in told]
    return NothingFits(error.what, why="\n".join(lines) or error.why, hints=list(error.hints))


def _asked(age_s: float | None) -> str:
    return "" if age_s is None else f"; asked {age_s:.0f} s ago"


def _why_not(groups: tuple[ProcessGroup, ...], node: Node, room: Room) -> str:
    if not usable(node) or node.name not in room.slots:
        return _absent(node)
    one = tuple(replace(group, count=1) for group in groups)
    offer = room.slots[node.name].offer()
    for group in one:
        if fit((group,), [offer]).found is None:
            return _lack(group, room.slots[node.name])
    return ""


def _absent(node: Node) -> str:
    words = {Health.NEW: "has not answered yet", Health.NEEDS_LOGIN: "needs a login", Health.READY: "is drained"}
    return words.get(node.health, f"is {node.health}")


def _lack(group: ProcessGroup, slot: Slot) -> str:
    """The first part of a process that a node has not, and whether it would have it if nobody were there."""
    empty = Room([slot.node], strangers=False).slots[slot.name].offer()
    offer = slot.offer()
    for part, text in parts(group):
        if fit((part,), [empty]).found is None:
            return f"has no {text.removeprefix('1 ')} ({_there(part, empty)})"
    for part, text in parts(group):
        if fit((part,), [offer]).found is None:
            return f"has no {text.removeprefix('1 ')} now ({_holder(slot)})"
    return "has not all of it" if fit((group,), [empty]).found is None else f"is in use ({_holder(slot)})"


def _there(part: ProcessGroup, offer: Offer) -> str:
    """What is there instead."""
    if part.device_bytes:
        rooms = [offer.slot.room_bytes(d) for found in offer.slot.devices.values() for d in found]
        return f"the largest has {about_bytes(max(rooms))}" if max(rooms, default=0) else "their memory is not known"
    if part.devices:
        return f"{offer.total} there" if offer.total else "no devices"
    if part.cpu is not None:
        return f"{format_cpu(offer.cpu)} there"
    return f"{about_bytes(offer.memory if part.memory_bytes else offer.disk)} there"


def _holder(slot: Slot) -> str:
    strangers = [f"{d.busy} on {d.model} {d.index}" for d in slot.node.capacity.devices if d.busy]
    jobs = [f"job {job}" for job in sorted(slot.holders)]
    taken = [
        f"{about_bytes(d.taken_bytes)} of {d.model} {d.index} taken by what cannot be seen"
        for d in slot.node.capacity.devices
        if d.taken_bytes and not d.busy
    ]
    return ", ".join([*jobs, *strangers, *taken]) or "held"
