"""What a job asks for, in words."""

from __future__ import annotations

from afield.model.amount import format_bytes, format_cpu
from afield.model.request import ANY_MODEL, DeviceAsk, ProcessGroup, parse


def in_words(request: str) -> str:
    """A request's text in words: `2:[4:a100,mem=40G]` is "2 processes, each with 4 a100, 40G of memory"."""
    return "; ".join(map(_group, parse(request).groups))


def _group(group: ProcessGroup) -> str:
    items = [_device(ask) for ask in group.devices]
    if group.device_bytes and group.devices:
        items[-1] += f" with {format_bytes(group.device_bytes)} free"
    if group.cpu is not None:
        items.append(f"{format_cpu(group.cpu)} core" + "s" * (group.cpu != 1))
    if group.memory_bytes:
        items.append(f"{format_bytes(group.memory_bytes)} of memory")
    if group.disk_bytes:
        items.append(f"{format_bytes(group.disk_bytes)} of disk")
    who = "1 process" if group.count == 1 else f"{group.count} processes"
    if not items:
        return f"{who}, no devices"
    return f"{who}{', each' * (group.count > 1)} with {', '.join(items)}"


def _device(ask: DeviceAsk) -> str:
    if ask.model == ANY_MODEL:
        return f"{ask.count} device" + "s" * (ask.count != 1)
    return f"{ask.count} {ask.model}"
