"""A person at a terminal: a real one (a pseudo terminal with its own session), keys and all."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

AFIELD = str(Path(sys.executable).parent / "afield")
SLEEPER = ("--", "sh", "-c", "echo up; exec sleep 600")
# Busy first: the key is read in the moment in which the main thread lets the interpreter go, to sleep in the kernel.
PRESSED_BEFORE_SLEEP = """
import socket, time
from afield.cli import keys

silent, kept = socket.socketpair()
for n in range(40):
    try:
        with keys.leaving():
            print("ready", n, flush=True)
            until = time.perf_counter() + 0.003
            while time.perf_counter() < until:
                pass
            silent.recv(1)
    except keys.Leave:
        print("left", n, flush=True)
"""
IN_TERMINAL = 'exec "$@" <>"$TERMINAL" >&0 2>&0'


class Terminal:
    """One command as the foreground program of a terminal of its own."""

    def __init__(self, sandbox: Sandbox, *argv: str) -> None:
        self.sandbox = sandbox
        self.main, side = pty.openpty()
        self.side = os.fdopen(side)
        self.before = termios.tcgetattr(side)
        self.text = ""
        self.command = subprocess.Popen(
            ["sh", "-c", IN_TERMINAL, "sh", *argv],
            cwd=sandbox.project,
            env=sandbox.env | {"TERMINAL": os.ttyname(side), "TERM": "xterm", "NO_COLOR": "1"},
            start_new_session=True,
        )

    def press(self, keys: bytes) -> None:
        os.write(self.main, keys)

    def until(self, text: str, within_s: float = 30.0) -> None:
        """Read until the screen has shown a text."""
        deadline = time.monotonic() + within_s
        while text not in self.text:
            ready, _, _ = select.select([self.main], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"never shown: {text!r}; shown: {self.text!r}"
            self.text += os.read(self.main, 65536).decode(errors="replace")

    def end(self) -> int:
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self.command.wait(30)
        while select.select([self.main], [], [], 0.0)[0]:
            self.text += os.read(self.main, 65536).decode(errors="replace")
        assert status is not None, f"it did not end; shown: {self.text!r}\n{self.sandbox.story()}"
        return status

    def close(self) -> None:
        self.command.kill()
        self.command.wait()
        self.side.close()
        os.close(self.main)


@pytest.fixture
def run(sandbox: Sandbox) -> Iterator[Terminal]:
    made = Terminal(sandbox, AFIELD, "run", *SLEEPER)
    yield made
    made.close()


def phase(sandbox: Sandbox) -> str:
    found = json.loads(sandbox.afield("show", "1", "--json", "phase").stdout)["phase"]
    return str(found)


def test_d_leaves_the_job_running(sandbox: Sandbox, run: Terminal) -> None:
    run.until("up\r\n")
    run.press(b"d")
    assert run.end() == 0
    assert run.text.count("Ctrl-C stops the job, d leaves it running") == 1
    assert "left; job 1 goes on" in run.text
    assert "Traceback" not in run.text
    assert termios.tcgetattr(run.side) == run.before, "the terminal is as it was"
    assert phase(sandbox) == "running"


def test_other_keys_do_nothing(sandbox: Sandbox, run: Terminal) -> None:
    run.until("up\r\n")
    run.press(b"x")
    run.press(b"cd there\n")
    run.press(b"\x03")
    run.until("stopping the job; Ctrl-C again leaves at once")
    assert run.end() == 130
    assert phase(sandbox) == "stopped"
    assert termios.tcgetattr(run.side) == run.before


def test_a_waiting_run_can_be_left(sandbox: Sandbox) -> None:
    sandbox.afield("run", "-d", "--", "true")
    sandbox.afield("node", "set", "local", "drained=true")
    waiting = Terminal(sandbox, AFIELD, "run", "--", "true")
    waiting.until("waiting   local is drained")
    waiting.press(b"d")
    assert waiting.end() == 0
    waiting.close()
    assert json.loads(sandbox.afield("show", "2", "--json", "phase").stdout)["phase"] == "queued"


def test_a_key_is_heard_also_right_before_the_wait_for_the_server_begins(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, sys.executable, "-c", PRESSED_BEFORE_SLEEP)
    for n in range(40):
        terminal.until(f"ready {n}\r\n")
        terminal.press(b"d")
        terminal.until(f"left {n}\r\n")
    assert terminal.end() == 0
    terminal.close()


def test_a_run_in_the_background_leaves_the_terminal_alone(sandbox: Sandbox) -> None:
    shell = Terminal(
        sandbox, "bash", "-c", f"set -m; {AFIELD} run -- sh -c 'echo in; sleep 1' & wait $!; echo status $?"
    )
    shell.until("in\r\n")
    shell.press(b"d")
    shell.until("status 0")
    assert "d leaves" not in shell.text
    assert shell.end() == 0
    shell.close()


def test_equal_lines_of_several_processes_are_one_on_a_terminal_and_none_waits_long(sandbox: Sandbox) -> None:
    program = 'echo same; echo "own $RANK"; if [ "$RANK" = 1 ]; then echo alone; fi; exec sleep 600'
    shown = Terminal(sandbox, AFIELD, "run", "--request", "2:[]", "--", "sh", "-c", program)
    try:
        shown.until("[p1] alone\r\n")
        assert "[p0-1] same\r\n" in shown.text
        assert {"[p0] own 0", "[p1] own 1"} <= set(shown.text.split("\r\n"))
        shown.press(b"\x03")
        assert shown.end() == 130
    finally:
        shown.close()
    plain = Terminal(sandbox, AFIELD, "logs", "1", "--no-fold")
    plain.until("[p1] same")
    plain.until("[p0] same")
    assert plain.end() == 0
    plain.close()


def test_following_says_what_ctrl_c_does(sandbox: Sandbox) -> None:
    sandbox.afield("run", "-d", *SLEEPER)
    logs = Terminal(sandbox, AFIELD, "logs", "1", "-f")
    logs.until("up\r\n")
    assert "Ctrl-C stops following; the job goes on" in logs.text
    logs.press(b"\x03")
    assert logs.end() == 130
    logs.close()
    assert wait_until(lambda: phase(sandbox), within_s=10) == "running"
