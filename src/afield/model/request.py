"""What a job needs: process groups with counts and devices, cpu, memory, disk, time limit.

    request = pgroup *( "," pgroup )        pgroup = [count ":"] process        process = "[" [item *("," item)] "]"
    item    = [count ":"] name | ("cpu" | "mem" | "disk" | "gpu_mem") "=" amount        blanks allowed; count >= 1

`gpu_mem` is what each device of the process has free at least; alone it means one device of any model.

A device named twice in one process is summed; names are compared without case. `parse(format(r)) == r` for every
request that has no time limit: that one is no part of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NoReturn

from afield.errors import RequestSyntaxError, UsageError, in_words
from afield.model.amount import format_bytes, format_cpu, parse_bytes, parse_cpu

ANY_MODEL = "gpu"
"""The device name that any model satisfies."""

MAX_PROCESSES = 10_000
"""More processes than this in one request are a slip of the finger."""


def _check(right: bool, rule: str) -> None:
    """Refuse values that no text gives but a client of the API may send."""
    if not right:
        raise UsageError(f"not a request: {rule}")


@dataclass(frozen=True, slots=True)
class DeviceAsk:
    """So many devices of a model for one process."""

    model: str
    count: int = 1

    def __post_init__(self) -> None:
        _check(self.count >= 1, "a count of devices is at least 1")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """`count` equal processes. A process never spans nodes. `cpu` is None when nothing was asked.

    `device_bytes` is the memory that each of its devices has free at least; it says nothing where there are none.
    """

    count: int = 1
    devices: tuple[DeviceAsk, ...] = ()
    cpu: float | None = None
    memory_bytes: int = 0
    disk_bytes: int = 0
    device_bytes: int = 0

    def __post_init__(self) -> None:
        _check(1 <= self.count <= MAX_PROCESSES, f"a count of processes is between 1 and {MAX_PROCESSES}")
        _check(self.cpu is None or self.cpu > 0, "cpu is more than 0")
        _check(self.memory_bytes >= 0 and self.disk_bytes >= 0, "memory and disk are not less than 0")
        _check(self.device_bytes >= 0, "memory of devices is not less than 0")


@dataclass(frozen=True, slots=True)
class Request:
    """All that a job needs. `time_limit_s` counts from the start of the program."""

    groups: tuple[ProcessGroup, ...] = (ProcessGroup(),)
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        _check(bool(self.groups), "a request has at least one process")
        _check(self.processes <= MAX_PROCESSES, f"a request has at most {MAX_PROCESSES} processes")
        _check(self.time_limit_s is None or self.time_limit_s > 0, "a time limit is more than 0")

    @property
    def processes(self) -> int:
        """How many processes an attempt has."""
        return sum(g.count for g in self.groups)


def parse(text: str) -> Request:
    """The request that a text describes, such as `2:[8:a100,mem=40G],[]`. Raises RequestSyntaxError with its column."""
    reader = _Reader(text)
    if reader.peek() == "":
        reader.fail("the request is empty", hints=["[] is one process without devices, [4:gpu] one with four"])
    groups = [_group(reader)]
    while reader.take(","):
        groups.append(_group(reader))
    if reader.peek():
        reader.fail('expected "," or the end')
    if sum(g.count for g in groups) > MAX_PROCESSES:
        reader.fail(f"more than {MAX_PROCESSES} processes", at=0)
    return Request(tuple(groups))


def parse_gpus(text: str) -> Request:
    """One process with devices, from the short form: `4` any four, `a100` one of a model, `2:a100` two."""
    if re.fullmatch(r"\s*0*[1-9][0-9]*\s*", text):
        return parse(f"[{text.strip()}:{ANY_MODEL}]")
    return Request((ProcessGroup(devices=tuple(DeviceAsk(m, n) for m, n in parse_devices(text))),))


def parse_need(text: str, base: Request | None = None) -> Request:
    """One process from what it needs, as `gpu_mem=1.5G,disk=3G`, with the devices of `base` where they were given.

    Raises RequestSyntaxError for what is no item, UsageError for devices that are named twice.
    """
    found = parse(f"[{text}]")
    if found.processes != 1 or len(found.groups) != 1:
        raise UsageError(f"need is about one process, not {text!r}", hints=["--need gpu_mem=1.5G,disk=3G"])
    if base is None:
        return found
    (group,), (asked,) = found.groups, base.groups
    if group.devices not in ((), (DeviceAsk(ANY_MODEL),)):
        raise UsageError("need and gpus both name devices", hints=["name them in one of the two"])
    return Request((replace(group, devices=asked.devices),))


def parse_devices(text: str) -> tuple[tuple[str, int], ...]:
    """Models and counts from `2:gtx1070,gtx1060`. Raises RequestSyntaxError."""
    reader = _Reader(text)
    asks: dict[str, int] = {}
    while True:
        _device(reader, asks)
        if not reader.take(","):
            break
    if reader.peek():
        reader.fail('expected "," or the end')
    return tuple(asks.items())


def format(request: Request) -> str:
    """The canonical text of a request, without its time limit."""
    return ",".join(format_group(group) for group in request.groups)


def format_group(group: ProcessGroup) -> str:
    """The canonical text of one process group."""
    items = [format_device(ask) for ask in group.devices]
    if group.device_bytes and group.devices:
        items.append(f"gpu_mem={format_bytes(group.device_bytes)}")
    if group.cpu is not None:
        items.append(f"cpu={format_cpu(group.cpu)}")
    if group.memory_bytes:
        items.append(f"mem={format_bytes(group.memory_bytes)}")
    if group.disk_bytes:
        items.append(f"disk={format_bytes(group.disk_bytes)}")
    process = f"[{','.join(items)}]"
    return process if group.count == 1 else f"{group.count}:{process}"


def format_device(ask: DeviceAsk) -> str:
    """The canonical text of devices of one model."""
    return ask.model if ask.count == 1 else f"{ask.count}:{ask.model}"


_BLANKS = re.compile(r"\s*")
_DIGITS = re.compile(r"[0-9]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_AMOUNT = re.compile(r"[^\s,\[\]=:]*")
_KEYS = ("cpu", "mem", "disk", "gpu_mem")


class _Reader:
    """A text and a place in it; blanks are skipped before each word."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The next character that is no blank, or "" at the end."""
        found = _BLANKS.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def take(self, character: str) -> bool:
        """Whether the next character is this one; it is passed then."""
        found = self.peek() == character
        self.at += found
        return found

    def word(self, pattern: re.Pattern[str]) -> str:
        """The longest text of a pattern here, or ""."""
        self.peek()
        found = pattern.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found.group()

    def fail(self, what: str, *, at: int | None = None, hints: tuple[str, ...] | list[str] = ()) -> NoReturn:
        """Raise RequestSyntaxError that shows the place."""
        at = self.at if at is None else at
        shown = "".join(c if c.isprintable() else " " for c in self.text)
        raise RequestSyntaxError(
            f"cannot read the request at column {at + 1}: {what}",
            column=at + 1,
            why=f"{shown}\n{' ' * at}^",
            hints=hints,
        )


def _group(reader: _Reader) -> ProcessGroup:
    count = _count(reader)
    if not reader.take("["):
        reader.fail('expected "["', hints=[f"put devices in brackets: [{ANY_MODEL}]"])
    asks: dict[str, int] = {}
    amounts: dict[str, float] = {}
    if not reader.take("]"):
        _item(reader, asks, amounts)
        while reader.take(","):
            _item(reader, asks, amounts)
        if not reader.take("]"):
            reader.fail('expected "," or "]"')
    if "gpu_mem" in amounts and not asks:
        asks[ANY_MODEL] = 1
    return ProcessGroup(
        count=count or 1,
        devices=tuple(DeviceAsk(model, n) for model, n in asks.items()),
        cpu=amounts.get("cpu"),
        memory_bytes=int(amounts.get("mem", 0)),
        disk_bytes=int(amounts.get("disk", 0)),
        device_bytes=int(amounts.get("gpu_mem", 0)),
    )


def _count(reader: _Reader) -> int | None:
    """The count before a colon, or None where there is none."""
    reader.peek()
    at = reader.at
    digits = reader.word(_DIGITS)
    if not digits:
        return None
    if not reader.take(":"):
        reader.fail('expected ":" after a count', hints=[f"four devices of any model are 4:{ANY_MODEL}"])
    digits = digits.lstrip("0")
    if not digits:
        reader.fail("a count is at least 1", at=at)
    if len(digits) > len(str(MAX_PROCESSES)) or int(digits) > MAX_PROCESSES:
        reader.fail(f"a count is at most {MAX_PROCESSES}", at=at)
    return int(digits)


def _item(reader: _Reader, asks: dict[str, int], amounts: dict[str, float]) -> None:
    reader.peek()
    start = reader.at
    name = reader.word(_NAME)
    if not name or reader.peek() != "=":
        if name.lower() in _KEYS:
            reader.fail(f"{name} needs an amount", hints=[f"for example {name.lower()}={_EXAMPLES[name.lower()]}"])
        reader.at = start
        _device(reader, asks)
        return
    key = name.lower()
    if key not in _KEYS:
        reader.fail(f"{name} is no resource", at=start, hints=_near(key))
    if key in amounts:
        reader.fail(f"{key} is given twice", at=start)
    reader.take("=")
    amounts[key] = _amount(reader, key)


def _device(reader: _Reader, asks: dict[str, int]) -> None:
    count = _count(reader)
    reader.peek()
    start = reader.at
    name = reader.word(_NAME).lower()
    if not name:
        reader.fail("expected a device model, cpu=, mem=, disk= or gpu_mem=")
    if name in _KEYS:
        hint = f"{name}={count or _EXAMPLES[name]}" if name == "cpu" else f"{name}={_EXAMPLES[name]}"
        reader.fail(f"{name} is no device", at=start, hints=[f"write {hint}"])
    asks[name] = asks.get(name, 0) + (count or 1)
    if asks[name] > MAX_PROCESSES:
        reader.fail(f"more than {MAX_PROCESSES} devices in one process", at=start)


def _amount(reader: _Reader, key: str) -> float:
    reader.peek()
    start = reader.at
    text = reader.word(_AMOUNT)
    try:
        return parse_cpu(text) if key == "cpu" else parse_bytes(text)
    except UsageError as error:
        reader.fail(f"{key}={text}: {in_words(error)}", at=start, hints=error.hints)


_EXAMPLES = {"cpu": "4", "mem": "16G", "disk": "50G", "gpu_mem": "40G"}
_DEVICE_WORDS = ("gpu", "gpus", "device", "devices", "accelerator", "accelerators")


def _near(key: str) -> list[str]:
    """What a wrong key was probably meant to be."""
    if key in _DEVICE_WORDS:
        return [f"devices are written as a count and a model: 2:{ANY_MODEL}"]
    if key in ("vram", "gpu-mem", "gpumem", "gpu_memory", "device_mem"):
        return ["did you mean gpu_mem=?"]
    by_letter = {"c": "cpu", "m": "mem", "r": "mem", "d": "disk", "s": "disk"}
    if key[0] in by_letter:
        return [f"did you mean {by_letter[key[0]]}=?"]
    return ["there are cpu=, mem=, disk= and gpu_mem="]
