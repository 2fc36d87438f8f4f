"""Whether a request can ever be met by the nodes that are known, and if not, which part of it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from afield.errors import AfieldError, NothingFits
from afield.model.amount import about_bytes, format_cpu
from afield.model.node import Health, Node
from afield.model.request import ANY_MODEL, DeviceAsk, ProcessGroup, Request, format_group
from afield.model.world import World
from afield.plan.fit import fit, shape
from afield.plan.free import ON_DEMAND, Offer, Room, allowed, node_devices

SHOWN = 8
"""So many nodes are listed in a message."""


def impossible(
    request: Request, words: tuple[str, ...], world: World, elastic: Collection[str] = ()
) -> AfieldError | None:
    """NothingFits for a request that no node can ever meet, naming the part that cannot be met; else None.

    Load, strangers, drains and silence are passing and do not count. A node that was never heard of may turn out to
    have anything, and so may what a backend of `elastic` makes. Disk is what was free when the node was last asked.
    """
    if any(word.startswith(ON_DEMAND) and word.removeprefix(ON_DEMAND) in elastic for word in words):
        return None
    nodes = [n for n in world.nodes.values() if n.health is not Health.GONE and allowed(words, n)]
    if not nodes:
        return _no_nodes(words, world)
    if any(n.seen_at is None for n in nodes):
        return None
    groups = shape(request.groups)
    offers = Room(nodes, strangers=False).offers()
    answer = fit(groups, offers)
    if answer.found is not None or not answer.certain:
        return None
    return _refusal(groups, offers, nodes)


def _no_nodes(words: tuple[str, ...], world: World) -> AfieldError:
    known = [str(n.name) for n in world.nodes.values() if n.health is not Health.GONE]
    if not known:
        return NothingFits("there are no nodes", hints=["afield node add HOST"])
    return NothingFits(f"no node is called {' or '.join(words)}", why=f"known: {', '.join(_some(known))}")


def _refusal(groups: tuple[ProcessGroup, ...], offers: list[Offer], nodes: list[Node]) -> NothingFits:
    why = "\n".join(_some([f"{n.name} has {has(n)}" for n in nodes]))
    for group in groups:
        one = replace(group, count=1)
        if not _holds(one, offers):
            part = next((text for alone, text in parts(one) if not _holds(alone, offers)), "")
            what = f"no node has {_any(part)}" if part else f"no node has all of {format_group(one)}"
            return NothingFits(what, why=why, hints=_hints(group, nodes))
        if fit((group,), offers).found is None:
            what = f"the nodes together cannot hold {format_group(group)}"
            return NothingFits(what, why=why, hints=["ask for fewer processes, or add a node"])
    what = f"the nodes together cannot hold {','.join(format_group(g) for g in groups)}"
    return NothingFits(what, why=why, hints=["ask for fewer processes, or add a node"])


def parts(group: ProcessGroup) -> list[tuple[ProcessGroup, str]]:
    """Each item of a process as a request of its own, and in words."""
    found = [(ProcessGroup(devices=(ask,)), _devices(ask)) for ask in group.devices]
    if len(group.devices) > 1:
        total = sum(ask.count for ask in group.devices)
        found.append((ProcessGroup(devices=(DeviceAsk(ANY_MODEL, total),)), f"{total} devices"))
    if group.device_bytes and group.devices:
        with_memory = ProcessGroup(devices=group.devices, device_bytes=group.device_bytes)
        size = about_bytes(group.device_bytes)
        found.append((with_memory, f"{' and '.join(_devices(a) for a in group.devices)} with {size} free"))
    if group.cpu is not None:
        found.append((ProcessGroup(cpu=group.cpu), f"{format_cpu(group.cpu)} cores"))
    if group.memory_bytes:
        found.append((ProcessGroup(memory_bytes=group.memory_bytes), f"{about_bytes(group.memory_bytes)} memory"))
    if group.disk_bytes:
        found.append((ProcessGroup(disk_bytes=group.disk_bytes), f"{about_bytes(group.disk_bytes)} free disk"))
    return found


def _devices(ask: DeviceAsk) -> str:
    return f"{ask.count} {ask.model}" + ("s" if ask.model == ANY_MODEL and ask.count > 1 else "")


def _any(part: str) -> str:
    """After "no node has"."""
    return f"any {part[2:]}" if part.startswith("1 ") and not part.endswith(" cores") else part


def has(node: Node) -> str:
    """What a node has, in words."""
    kinds = [d.model + (f" with {about_bytes(d.memory_bytes)}" if d.memory_bytes else "") for d in node_devices(node)]
    words = [f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds)] or ["no devices"]
    words.append(f"{format_cpu(node.capacity.cpu)} cores")
    words.append(f"{about_bytes(node.capacity.memory_bytes)} memory")
    words.append(f"{about_bytes(node.capacity.disk_bytes)} free disk")
    return ", ".join(words)


def _holds(group: ProcessGroup, offers: Iterable[Offer]) -> bool:
    return fit((group,), list(offers)).found is not None


def _hints(group: ProcessGroup, nodes: list[Node]) -> list[str]:
    known = sorted({d.model for n in nodes for d in node_devices(n)})
    asked = {ask.model for ask in group.devices} - {ANY_MODEL} - {m.lower() for m in known}
    if asked and known:
        return [f"known models: {', '.join(known)}"]
    if group.devices and not known:
        return ["a device that is not found by itself is declared: afield node set NODE devices=2:MODEL"]
    return ["ask for less, or add a node"]


def _some(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
