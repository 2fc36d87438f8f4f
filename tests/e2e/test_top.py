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
    top.press(b"c")
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


def back(top: Terminal) -> None:
    """Wait for the live screen after an errand."""
    top.until(ENTER)
    top.until("vit")


def test_a_shell_beside_the_job_and_top_goes_on(sandbox: Sandbox, top: Terminal) -> None:
    top.until("vit")
    top.press(b"s")
    top.until("its end goes back to top")
    assert clean(top), "the shell has the terminal as it was"
    top.press(b"echo job-$AFIELD_JOB; pwd; stty -echo; exit 3\n")
    top.until("job-1\r\n")
    top.until("/jobs/1.1/src\r\n")
    top.text = top.text.partition("/jobs/1.1/src\r\n")[2]  # the shell ends by itself: top may be back already
    back(top)
    sandbox.afield("run", "-q", "--", "sh", "-c", "exit 3")
    top.until("failed (exit code 3)")
    top.press(b"q")
    assert top.end() == 0
    assert clean(top), "also what the shell did to the terminal is undone"


def test_a_forward_until_ctrl_c_and_top_goes_on(top: Terminal) -> None:
    top.until("vit")
    top.press(b"f")
    top.until("forward job 1 vit")
    top.press(b"0:9\r")
    top.until("127.0.0.1:")
    top.until("nothing listens at port 9")
    top.text = ""
    top.press(b"\x03")
    back(top)
    assert "Enter goes back" not in top.text
    top.press(b"f")
    top.until("forward job 1 vit")
    top.press(b"nonsense\r")
    top.until("error:")
    top.until("Enter goes back to top")
    top.text = ""
    top.press(b"\r")
    back(top)
    top.press(b"q")
    assert top.end() == 0
    assert clean(top)
    assert "Traceback" not in top.text


def test_rerun_is_asked_and_shown(sandbox: Sandbox, top: Terminal) -> None:
    top.until("vit")
    top.press(b"r")
    top.until("Run job 1 vit again")
    top.press(b"y")
    top.until("job 2 vit")
    assert sandbox.afield("show", "2").returncode == 0


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
