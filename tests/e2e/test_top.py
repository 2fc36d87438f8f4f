"""`afield top` at a real terminal against a real controller: it is live, and leaves the terminal as it was."""

from __future__ import annotations

import os
import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.sandbox import Sandbox
from tests.e2e.test_run_terminal import AFIELD, Terminal

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
COLOUR = re.compile(r"\x1b\[[0-9;:]*[34][0-8][;m]")


@pytest.fixture
def top(sandbox: Sandbox) -> Iterator[Terminal]:
    sandbox.afield("run", "-d", "--name", "vit", "--", "sh", "-c", "echo up; exec sleep 600")
    made = at_terminal(sandbox)
    yield made
    made.close()


def at_terminal(sandbox: Sandbox, **variables: str) -> Terminal:
    sandbox.env.update(variables)
    made = Terminal(sandbox, "sh", "-c", f"stty rows 24 cols 80; exec {AFIELD} top")
    made.until(ENTER)
    return made


def clean(top: Terminal) -> bool:
    return LEAVE in top.text and "\x1b[?25h" in top.text and termios.tcgetattr(top.side) == top.before


def test_it_is_live_and_stops_what_it_is_asked_to(sandbox: Sandbox, top: Terminal) -> None:
    top.until("vit")
    top.until("up")
    sandbox.afield("run", "-q", "--", "sh", "-c", "exit 3")
    top.until("failed (exit code 3)")
    top.press(b"s")
    top.until("Stop job 1 vit")
    top.press(b"y")
    top.until("stopped")
    top.press(b"q")
    assert top.end() == 0
    assert clean(top)
    assert "Traceback" not in top.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=["term", "hup", "int"])
def test_a_signal_leaves_the_terminal_as_it_was(top: Terminal, number: int) -> None:
    top.until("vit")
    top.command.send_signal(number)
    top.end()
    assert clean(top), top.text[-500:]
    assert "Traceback" not in top.text


def test_ctrl_c_leaves_and_touches_no_job(sandbox: Sandbox, top: Terminal) -> None:
    top.until("vit")
    top.press(b"\x03")
    assert top.end() == 0
    assert clean(top)
    assert b'"running"' in sandbox.afield("show", "1", "--json", "phase").stdout


def test_no_colour_where_none_is_wanted(sandbox: Sandbox, top: Terminal) -> None:
    top.until("running")
    top.press(b"q")
    top.end()
    assert not COLOUR.search(top.text), COLOUR.search(top.text)


def test_it_goes_on_with_the_next_server(sandbox: Sandbox, top: Terminal) -> None:
    top.until("vit")
    server = next(p for p in sandbox.processes() if b"afield.server" in Path(f"/proc/{p.pid}/cmdline").read_bytes())
    os.kill(server.pid, signal.SIGKILL)
    sandbox.afield("run", "-q", "--", "sh", "-c", "exit 4")
    top.until("failed (exit code 4)")
    top.press(b"q")
    assert top.end() == 0


@pytest.mark.parametrize("variables", [{}, {"TERM": "dumb"}])
def test_without_a_terminal_it_says_what_to_use(sandbox: Sandbox, variables: dict[str, str]) -> None:
    sandbox.env.update(variables)
    done = sandbox.afield("top")
    assert done.returncode == 2
    assert b"top needs a terminal" in done.stderr
    assert b"afield ps --json" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
