"""Tables that fit: which columns a width has room for, and how wide each is. Pure; `show.table` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

STAYS = 2
"""A column that always stays is cut only when it is so many times wider than the others."""

GAP = 2
"""Blanks between two columns."""

NOTHING = "-"

NARROWEST = 4
"""No column is cut below this."""


class Column(NamedTuple):
    """A column by its head; `right` is for numbers, a `seldom` one is left out when it is empty.

    Where there is no room it is cut down to `least` cells (0: never cut), and then left out: the highest `rank` goes
    first, rank 0 stays.
    """

    head: str
    rank: int = 0
    least: int = 0
    right: bool = False
    seldom: bool = False


class Grid(NamedTuple):
    """The columns that are shown, by index, and the width of each."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]


def width(text: str) -> int:
    """Cells of a terminal that a text takes; a wide character takes two, an accent none."""
    if text.isascii():
        return len(text)
    import unicodedata  # most tables have no such text

    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def cut(text: str, room: int) -> str:
    """The text in so many cells; what is missing is marked."""
    if width(text) <= room:
        return text
    kept = ""
    for character in text:
        if width(kept + character) > room - 1:
            break
        kept += character
    return kept + "…"


def pad(text: str, room: int, *, right: bool = False) -> str:
    """The text with blanks up to so many cells."""
    blanks = " " * (room - width(text))
    return blanks + text if right else text + blanks


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> Grid:
    """What of a table is shown in `room` cells: empty columns go first, then by rank; the longest cells are cut."""
    whole = [max(width(cell) for cell in (column.head, *(row[i] for row in rows))) for i, column in enumerate(columns)]
    least = [min(w, max(c.least, width(c.head))) if c.least else w for c, w in zip(columns, whole, strict=True)]
    every = range(len(columns))
    empty = {i for i in every if rows and all(row[i] in ("", NOTHING) for row in rows)}
    shown = [i for i in every if i not in empty or not columns[i].seldom]
    going = sorted((i for i in shown if columns[i].rank), key=lambda i: (i not in empty, -columns[i].rank))
    for i in going:
        enough = whole if i in empty else least
        if _across(shown, enough) <= room:
            break
        shown.remove(i)
    weights = [STAYS if column.rank == 0 else 1 for column in columns]
    narrow = [min(w, NARROWEST) for w in least]
    widths = _shrunk(shown, (whole, least, weights), room)
    widths = _shrunk(shown, (widths, narrow, weights), room)
    return Grid(tuple(shown), tuple(widths[i] for i in shown))


def _across(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[i] for i in shown) + GAP * (len(shown) - 1)


def _shrunk(shown: Sequence[int], sizes: tuple[list[int], list[int], list[int]], room: int) -> list[int]:
    """Widths with the widest columns for their weight cut until all have room, none below the lowest it may have."""
    whole, lowest, weights = sizes
    widths = [max(low, min(w, room)) for w, low in zip(whole, lowest, strict=True)]
    while _across(shown, widths) > room:
        soft = [i for i in shown if widths[i] > lowest[i]]
        if not soft:
            break
        widths[max(soft, key=lambda i: (widths[i] / weights[i], i))] -= 1
    return widths
