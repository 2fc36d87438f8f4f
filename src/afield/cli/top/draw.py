"""Lines of the live screen from views: pure, and the same words as `ps`, `status` and `node ls` use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from afield.cli import show
from afield.cli.grid import GAP, Grid, cut, fit, pad
from afield.cli.jobs import COLUMNS, is_free, row
from afield.cli.top.feed import View

STYLES = {show.GREEN: "green", show.YELLOW: "yellow", show.RED: "red", show.CYAN: "cyan", show.DIM: "dim", "": ""}
FREE, HELD, FOREIGN = "□", "■", "▣"
STATE = next(i for i, column in enumerate(COLUMNS) if column.head == "STATE")


def style(word: str) -> str:
    """How a phase or a health is coloured."""
    return STYLES[show.PHASE_COLOURS.get(word, "")]


def job_table(jobs: Sequence[View], room: int, now: float) -> tuple[str, list[Text]]:
    """The heads and a line for each job, in so many cells."""
    rows = [[show.safe(cell) for cell in row(job, now)] for job in jobs]
    grid = fit(COLUMNS, rows, room)
    lines = []
    for job, cells in zip(jobs, rows, strict=True):
        line = Text(no_wrap=True)
        for number, (i, wide) in enumerate(zip(grid.shown, grid.widths, strict=True)):
            text = pad(cut(cells[i], wide), wide, right=COLUMNS[i].right)
            line.append(" " * GAP * (number > 0) + text, style(str(job["phase"])) if i == STATE else "")
        lines.append(line)
    return _heads(grid), lines


def _heads(grid: Grid) -> str:
    texts = (pad(COLUMNS[i].head, w, right=COLUMNS[i].right) for i, w in zip(grid.shown, grid.widths, strict=True))
    return (" " * GAP).join(texts).rstrip()


def node_lines(nodes: Sequence[View], room: int) -> list[Text]:
    """A line for each node: name, health, what is free; where it has devices a sign for each, and who holds it."""
    name = max((len(show.safe(node["name"])) for node in nodes), default=0)
    return [_node_line(node, min(name, max(8, room // 4)), room) for node in nodes]


def _node_line(node: View, name: int, room: int) -> Text:
    line = Text(pad(cut(show.safe(node["name"]), name), name) + "  ", no_wrap=True)
    line.append(f"{node['health'].replace('_', ' '):<11} ", style(node["health"]))
    if node["devices"]:
        for text, how in _devices(node["devices"]):
            line.append(text, how)
    else:
        jobs = len(node["jobs"])
        line.append(f"{node['cpu']:g} cores, " + (f"{jobs} job" + "s" * (jobs != 1) if jobs else "free"))
    line.truncate(room, overflow="ellipsis")
    return line


def _devices(devices: Sequence[View]) -> Iterator[tuple[str, str]]:
    for device in devices:
        sign = FREE if is_free(device) else FOREIGN if device["job"] is None else HELD
        yield sign, {FREE: "green", FOREIGN: "red", HELD: "yellow"}[sign]
    models = dict.fromkeys(device["model"] for device in devices)
    holders = dict.fromkeys(device["job"] for device in devices if device["job"] is not None)
    free = sum(map(is_free, devices))
    foreign = sum(device["job"] is None and bool(device["busy"]) for device in devices)
    yield f" {free} free", "green" if free else ""
    yield f" of {len(devices)} {'+'.join(models)}", ""
    if holders:
        yield f", job{'s' * (len(holders) > 1)} {', '.join(map(str, holders))}", ""
    if foreign:
        yield f", {foreign} used by others", "red"
