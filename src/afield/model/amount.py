"""Amounts as people write them: bytes (`40G`, `1.5G`, `512M`), cores (`4`, `0.5`), times (`90m`, `1h30m`, `HH:MM:SS`).

Each reader has a writer, and what the writer gives is read back to the same value.
"""

from __future__ import annotations

import re

from afield.errors import UsageError

UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
"""Steps of 1024, as memory is sold."""

SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}

_BYTES = re.compile(r"(\d{1,20})(?:\.(\d{1,9}))?([KMGTP])?(?:i?B)?", re.IGNORECASE | re.ASCII)
_CPU = re.compile(r"(\d{1,6})(?:\.(\d{1,3}))?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,5}):([0-5]\d):([0-5]\d)", re.ASCII)
_SPANS = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?[dhms])+", re.IGNORECASE | re.ASCII)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str) -> int:
    """Bytes from `40G`, `1.5GiB`, `512m`; parts of a byte round up. Raises UsageError."""
    found = _BYTES.fullmatch(text.strip())
    if found is None or text.strip().isdigit():
        why = "a number needs its unit" if text.strip().isdigit() else "a number and one of B, K, M, G, T"
        raise UsageError(f"{text!r} is no amount of bytes", why=why, hints=["for example 40G, 1.5G or 512M"])
    whole, part, unit = found.group(1), found.group(2) or "", (found.group(3) or "B").upper()
    amount = -(-int(whole + part) * UNITS[unit] // int("1" + "0" * len(part)))
    if not amount:
        raise UsageError(f"{text!r} asks for nothing", hints=["leave it out, or ask for more than 0"])
    return amount


def format_bytes(amount: int) -> str:
    """The shortest text that `parse_bytes` reads as this amount: `1.5G`; exact bytes where no unit fits."""
    for letter in "PTGMK":
        unit = UNITS[letter]
        hundredths = amount * 100 // unit
        if hundredths >= 100 and -(-hundredths * unit // 100) == amount:
            return _plain(hundredths, 100) + letter
    return f"{amount}B"


def about_bytes(amount: int) -> str:
    """An amount for people to read, with one decimal at most: `23.5G`."""
    for letter in "PTGMK":
        if amount >= UNITS[letter]:
            return _plain(amount * 10 // UNITS[letter], 10) + letter
    return f"{amount}B"


def parse_cpu(text: str) -> float:
    """Cores from `4` or `0.5` (thousandths at the finest). Raises UsageError."""
    if _CPU.fullmatch(text.strip()) is None:
        raise UsageError(f"{text!r} is no number of cores", hints=["for example 4 or 0.5"])
    cores = float(text)
    if not cores:
        raise UsageError(f"{text!r} asks for nothing", hints=["leave it out, or ask for more than 0"])
    return cores


def format_cpu(cores: float) -> str:
    """Cores as `parse_cpu` reads them."""
    return _plain(round(cores * 1000), 1000)


def parse_time(text: str) -> float:
    """Seconds from `90m`, `2h`, `1d`, `1h30m`, `45s` or `HH:MM:SS`. Raises UsageError."""
    text = text.strip()
    if (clock := _CLOCK.fullmatch(text)) is not None:
        hours, minutes, seconds = (int(part) for part in clock.groups())
        total = float(hours * 3600 + minutes * 60 + seconds)
    elif _SPANS.fullmatch(text) is not None:
        total = sum(float(number) * SECONDS[unit.lower()] for number, unit in _SPAN.findall(text))
    else:
        why = "a number needs its unit" if text.isdigit() else "a number and one of s, m, h, d, or HH:MM:SS"
        raise UsageError(f"{text!r} is no length of time", why=why, hints=["for example 90m, 2h, 1d or 01:30:00"])
    if total <= 0:
        raise UsageError(f"{text!r} is no time at all", hints=["leave the limit out, or give more than 0"])
    return total


def format_time(seconds: float) -> str:
    """Seconds as `parse_time` reads them: `1h30m`; thousandths of a second at the finest."""
    left = round(seconds * 1000)
    parts = []
    for letter, size in list(SECONDS.items())[:-1]:
        count, left = divmod(left, size * 1000)
        if count:
            parts.append(f"{count}{letter}")
    if left or not parts:
        parts.append(_plain(left, 1000) + "s")
    return "".join(parts)


def _plain(amount: int, scale: int) -> str:
    """`amount / scale` as a decimal without trailing zeros; `scale` is a power of ten."""
    whole, part = divmod(amount, scale)
    digits = str(part).zfill(len(str(scale)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
