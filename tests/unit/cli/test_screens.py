"""Tables on a real terminal of two sizes, and off one: what is cut there, and that nothing is cut here."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from itertools import pairwise
from pathlib import Path

import pytest

from afield.cli.grid import Column, cut, fit, pad, width
from afield.cli.jobs import COLUMNS, progress, row
from tests.unit.cli.fleet import NOW, jobs
from tests.unit.cli.screens import compare

ROOT = Path(__file__).parents[3]


def screen(words: list[str], size: tuple[int, int], **variables: str) -> str:
    """What `afield WORDS` writes to a terminal of that size."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", **variables}
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    program = [sys.executable, "-m", "tests.unit.cli.fleet", *words]
    with subprocess.Popen(program, cwd=ROOT, env=env, stdin=side, stdout=side, stderr=side) as command:
        os.close(side)
        shown = b""
        while data := _read(main):
            shown += data
    os.close(main)
    assert command.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65536)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
@pytest.mark.parametrize("words", [["ps"], ["status"]], ids=["ps", "status"])
def test_tables_fit_the_terminal(words: list[str], size: tuple[int, int]) -> None:
    text = screen(words, size)
    assert max(map(width, text.splitlines())) <= size[0]
    assert "\x1b" not in text
    compare(f"{'-'.join(words)}-{size[0]}x{size[1]}", text)


@pytest.mark.parametrize("lines", [10, 14, 24, 50])
def test_status_is_one_screen(lines: int) -> None:
    text = screen(["status"], (100, lines), FLEET="crowd")
    shown = text.splitlines()
    assert len(shown) < lines or lines < 14
    assert shown[0].startswith("43 nodes · 4 of 9 devices free · 1 unreachable · 2 running · 201 queued · 1 starting ·")
    assert any("lab-server-in-the-cellar  unreachable" in line for line in shown), "what is wrong is shown first"
    assert any(line.split()[:1] == ["119"] for line in shown), "what runs is shown before what waits"
    assert len([line for line in shown if " more: afield " in line]) == 2


def test_colours_are_only_colours() -> None:
    plain = screen(["ps"], (80, 24))
    colours = screen(["ps"], (80, 24), NO_COLOR="", AFIELD_COLOR="always")
    assert "\x1b[32mrunning" in colours
    bare = colours
    for code in ("32", "33", "31", "1", "2"):
        bare = bare.replace(f"\x1b[{code}m", "")
    assert bare.replace("\x1b[0m", "") == plain


def test_off_a_terminal_nothing_is_cut_or_left_out() -> None:
    program = [sys.executable, "-m", "tests.unit.cli.fleet", "ps"]
    done = subprocess.run(program, cwd=ROOT, env={**os.environ, "COLUMNS": "40"}, capture_output=True, check=True)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert lines[0] == [column.head for column in COLUMNS]
    assert {len(line) for line in lines} == {len(COLUMNS)}
    assert "…" not in done.stdout.decode()
    assert ["121", "vit-base-with-all-the-augmentations-of-last-week"] in [line[:2] for line in lines]


@pytest.mark.parametrize("room", range(10, 200, 7))
def test_every_room_is_kept(room: int) -> None:
    rows = [row(job, NOW) for job in jobs()]
    grid = fit(COLUMNS, rows, room)
    assert sum(grid.widths) + 2 * (len(grid.shown) - 1) <= room or room < 15
    heads = [COLUMNS[i].head for i in grid.shown]
    assert {"JOB", "STATE"} <= set(heads), "what triage needs stays"


def test_more_room_never_shows_less() -> None:
    rows = [row(job, NOW) for job in jobs()]
    grids = [fit(COLUMNS, rows, room) for room in range(20, 220)]
    for narrow, wide in pairwise(grids):
        assert set(narrow.shown) <= set(wide.shown)


def test_empty_columns_go_first() -> None:
    columns = (Column("A"), Column("B", rank=1), Column("C", rank=2))
    assert fit(columns, [["x" * 10, "-", "y" * 5]], 18).shown == (0, 2)
    assert fit(columns, [["x" * 10, "b", "y" * 5]], 14).shown == (0, 1)


def test_progress_takes_room_only_where_a_job_tells_of_it() -> None:
    heads = [column.head for column in COLUMNS]
    told = jobs()
    assert heads.index("PROGRESS") in fit(COLUMNS, [row(job, NOW) for job in told], 80).shown
    silent = [row(job | {"progress": None}, NOW) for job in told]
    without = [column for column in COLUMNS if column.head != "PROGRESS"]
    at = heads.index("PROGRESS")
    for room in (80, 160, 300):
        grid = fit(COLUMNS, silent, room)
        assert at not in grid.shown
        assert grid.widths == fit(without, [[*cells[:at], *cells[at + 1 :]] for cells in silent], room).widths


def test_progress_in_words() -> None:
    assert progress({"progress": {"done": 2800.0, "total": 10000.0}}) == "28%"
    assert progress({"progress": {"done": 1234.0, "total": None}}) == "1,234"
    assert progress({"progress": {"done": 5.0, "total": 0.0}}) == "5"
    assert progress({"progress": None}) == ""


def test_wide_characters_take_two_cells() -> None:
    assert width("数据") == 4
    assert cut("数据集合", 6) == "数据…"
    assert width(pad("数据", 7)) == 7
    assert cut("plain", 5) == "plain"
