"""The screen of `afield run` on terminals of two sizes, as a person sees it when it is over; the line while it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from afield.cli.grid import width
from afield.testing.sandbox import Sandbox
from tests.e2e.test_run_terminal import AFIELD, Terminal
from tests.unit.cli.screens import compare

PROGRAM = """\
import os, sys, time
sys.stdout.write("loading\\n")
sys.stdout.write("no line feed yet ...")
time.sleep(float(sys.argv[1]))
sys.stdout.write(" done\\n")
open(os.path.join(os.environ["OUTPUT_DIR"], "model.bin"), "w").write("x" * 2048)
"""
TIME = re.compile(r" +\d+\.\d s$|\d+\.\d s", re.MULTILINE)


def on_screen(text: str) -> str:
    """What is left of lines that were taken away."""
    lines = (line.rstrip("\r").rpartition("\r\x1b[K")[2] for line in text.split("\n"))
    return TIME.sub(lambda found: " T" if found[0].startswith(" ") else "T", "\n".join(lines))


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_the_screen_of_a_run(sandbox: Sandbox, size: tuple[int, int]) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM)
    run = Terminal(sandbox, "sh", "-c", f"stty cols {size[0]} rows {size[1]}; exec {AFIELD} run --name vit train.py 0")
    run.until("job 1 succeeded")
    assert run.end() == 0
    run.close()
    shown = on_screen(run.text)
    assert max(map(width, shown.splitlines())) <= size[0]
    compare(f"run-{size[0]}x{size[1]}", shown)


def test_the_line_below_the_output_comes_and_goes(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM.replace("yet ...", "yet ...\\n"))
    run = Terminal(sandbox, "sh", "-c", f"stty cols 80 rows 24; exec {AFIELD} run train.py 600")
    run.until("● running   2 s · Ctrl-C stop, d leave")
    run.press(b"d")
    assert run.end() == 0
    run.close()
    assert "● running" not in on_screen(run.text), "nothing of it stays"
    assert "no line feed yet ...\nleft; job 1 goes on" in on_screen(run.text)


def test_no_line_in_the_middle_of_a_line(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM)
    run = Terminal(sandbox, "sh", "-c", f"stty cols 80 rows 24; exec {AFIELD} run train.py 3")
    run.until("job 1 succeeded")
    run.end()
    run.close()
    assert "no line feed yet ... done" in run.text.replace("\r\x1b[K", "")


def test_no_line_where_nobody_looks(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM)
    done = sandbox.afield("run", "train.py", "2")
    assert b"running" not in done.stderr
    assert done.stdout == b"loading\nno line feed yet ... done\n"
    assert Path(sandbox.project / "outputs/1/model.bin").stat().st_size == 2048
