"""How things look: colours with a meaning, tables, times, sizes, errors. No terminal is assumed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

from afield.cli.grid import GAP, Column, cut, fit, pad
from afield.errors import AfieldError

MIN_LAST = 12
"""The last column of a table gives way on a narrow terminal, down to so many characters."""

GREEN, YELLOW, RED, CYAN, DIM, BOLD = "32", "33", "31", "36", "2", "1"

PHASE_COLOURS = {
    "queued": YELLOW,
    "starting": YELLOW,
    "running": GREEN,
    "stopping": YELLOW,
    "succeeded": GREEN,
    "failed": RED,
    "timed_out": RED,
    "lost": RED,
    "setup_failed": RED,
    "preempted": YELLOW,
    "stopped": DIM,
    "ready": GREEN,
    "unreachable": RED,
    "needs_login": YELLOW,
    "draining": YELLOW,
    "drained": YELLOW,
}


def coloured(stream: TextIO) -> bool:
    """Whether to colour what goes to a stream."""
    wish = os.environ.get("AFIELD_COLOR", "auto")
    if wish in ("always", "never"):
        return wish == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, where colours are wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and coloured(stream) else text


def safe(text: str) -> str:
    """Text from anywhere without control characters: they are shown, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogateescape").decode() for c in text)


def say(text: str = "") -> None:
    """A line of our talk, on stderr, behind what was printed before: both may go to one file."""
    with suppress(OSError):  # a reader who left is told by whoever writes to stdout
        sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def say_dim(lines: Iterable[str]) -> None:
    """Lines of little weight, on stderr."""
    for line in lines:
        say(paint(safe(line), DIM, sys.stderr))


def hint(text: str) -> None:
    """One of at most two next commands after a change; AFIELD_HINTS=0 silences them."""
    if os.environ.get("AFIELD_HINTS") != "0":
        say(paint(text, DIM, sys.stderr))


def error_text(error: AfieldError) -> str:
    """What / why / try, the most useful last."""
    lines = [paint("error: ", RED, sys.stderr) + _block(error.what)]
    if error.why:
        lines.append("  why: " + _block(error.why))
    for number, text in enumerate(error.hints):
        lines.append(("  try: " if number == 0 else "       ") + _block(text))
    return "\n".join(lines)


def _block(text: str) -> str:
    return "\n       ".join(safe(line) for line in text.splitlines())


def table(
    rows: Sequence[Sequence[str]],
    heads: Sequence[str | Column],
    colours: Mapping[int, Mapping[str, str]] | None = None,
) -> None:
    """Print rows under heads: aligned and fitted on a terminal, tab-separated and whole otherwise.

    A head that is only a word stays on a terminal of any width; the last of them gives way.
    """
    out = sys.stdout
    columns = [h if isinstance(h, Column) else Column(h, least=MIN_LAST * (h is heads[-1])) for h in heads]
    rows = [[safe(cell) for cell in row] for row in rows]
    names = [column.head for column in columns]
    if not out.isatty():
        for row in (names, *rows):
            print("\t".join(row))
        return
    grid = fit(columns, rows, shutil.get_terminal_size().columns)
    for row in (names, *rows):
        cells = []
        for i, room in zip(grid.shown, grid.widths, strict=True):
            text = pad(cut(row[i], room), room, right=columns[i].right)
            colour = BOLD if row is names else (colours or {}).get(i, {}).get(row[i].split(" ")[0], "")
            cells.append(_painted(text, colour))
        print((" " * GAP).join(cells).rstrip())


def _painted(text: str, colour: str) -> str:
    """The text in a colour, the blanks around it not."""
    inner = text.strip()
    return text.replace(inner, paint(inner, colour, sys.stdout), 1) if inner else text


def as_json(data: Any, fields: str = "") -> None:
    """Print JSON; `fields` keeps only the named keys of each item."""
    print(json.dumps(data if not fields else _picked(data, fields.split(",")), ensure_ascii=True, indent=None))


THINGS = ("jobs", "nodes", "job", "node", "entries", "checks", "settings", "pushed", "pulled", "fetched", "secrets")
"""What an answer is about: FIELDS of `--json` are fields of these."""


def _picked(data: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The fields of each thing in an answer; what is around the things stays. A field that no thing has is said."""
    things = [data.get(k) for k in THINGS] if "schema" in data else []
    kind = next((k for k, thing in zip(THINGS, things, strict=False) if isinstance(thing, list | dict)), None)
    inner = data if kind is None else data[kind]
    for known in inner[:1] if isinstance(inner, list) else [inner]:
        if missing := [f for f in fields if f not in known]:
            say(f"no field {', '.join(map(safe, missing))}; there are {', '.join(known)}")
    if kind is None:
        return _only(data, fields)
    return {**data, kind: [_only(i, fields) for i in inner] if isinstance(inner, list) else _only(inner, fields)}


def _only(thing: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {f: thing.get(f) for f in fields}


def duration(seconds: float | None) -> str:
    """A span for people: 0.3 s, 42 s, 3 m 10 s, 2 h 5 m, 3 d 4 h."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def moment(text: str | None) -> float | None:
    """UTC seconds of an ISO time as the API gives it."""
    if not text:
        return None
    from datetime import datetime  # costs a few ms that --help need not pay

    return datetime.fromisoformat(text).timestamp()


def ago(text: str | None) -> str:
    """How long ago an ISO time was."""
    at = moment(text)
    return "-" if at is None else f"{duration(max(0.0, time.time() - at))} ago"


def size(count: float) -> str:
    """Bytes for people, in the units of requests."""
    from afield.model.amount import about_bytes  # --help shows no sizes

    return about_bytes(int(count))


def files(count: int) -> str:
    """1 file, 2 files."""
    return f"{count:,} file" + ("" if count == 1 else "s")


def safe_lines(text: str) -> str:
    """Several lines from anywhere, each without control characters."""
    return "\n".join(safe(line) for line in text.splitlines())
