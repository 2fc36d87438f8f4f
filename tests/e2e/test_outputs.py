"""Outputs come home by themselves: when they are finished, once, whatever happened to us meanwhile."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from afield.testing.hosts import Host
from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

PROGRAM = """
import os, pathlib, time
gate = pathlib.Path(os.environ["HOME"], "gate" + os.environ["AFIELD_JOB"])
out = pathlib.Path(os.environ["OUTPUT_DIR"])
def wait(n):
    while not pathlib.Path(f"{gate}.{n}").exists(): time.sleep(0.02)
pathlib.Path("first.pt").write_text("one")
(out / "log.txt").write_text("a")
open_file = open("second.pt", "w")
open_file.write("half"); open_file.flush()
pathlib.Path("other.txt").write_text("not wanted")
wait(1)
open_file.write(" and whole"); open_file.close()
(out / "log.txt").write_text("ab")
wait(2)
pathlib.Path("deep").mkdir()
pathlib.Path("deep/last.pt").write_text("end")
"""


@pytest.fixture
def host(host: Host, sandbox: Sandbox) -> Host:
    """The node; the project has a program and a file that looks like an output."""
    for gate in host.home.glob("gate*"):
        gate.unlink()
    (sandbox.project / "train.py").write_text(PROGRAM)
    (sandbox.project / "given.pt").write_text("came with the code")
    (sandbox.project / "afield.toml").write_text('outputs = ["*.pt"]\n')
    return host


def controller(sandbox: Sandbox) -> int:
    return next(p.pid for p in sandbox.processes() if "afield.server" in command_line(p))


def home(sandbox: Sandbox) -> dict[str, str]:
    folder = sandbox.project / "outputs" / "1"
    found = (p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else ()
    files = [p for p in found if not p.name.endswith(".afpart")]  # on their way: they may be gone when they are read
    return {str(p.relative_to(folder)): p.read_text() for p in files}


def opened(host: Host, gate: int) -> None:
    (host.home / f"gate1.{gate}").touch()


WHOLE = {"first.pt": "one", "log.txt": "ab", "second.pt": "half and whole", "deep/last.pt": "end"}


def test_files_come_when_they_are_finished_and_not_before(sandbox: Sandbox, host: Host) -> None:
    assert sandbox.afield("run", "-d", "-n", host.name, "train.py").returncode == 0
    wait_until(lambda: home(sandbox) == {"first.pt": "one", "log.txt": "a"}, within_s=30, show=sandbox.story)
    opened(host, 1)
    wait_until(
        lambda: "second.pt" in home(sandbox) and home(sandbox)["log.txt"] == "ab", within_s=30, show=sandbox.story
    )
    opened(host, 2)
    wait_until(lambda: home(sandbox) == WHOLE, within_s=30, show=sandbox.story)
    view = json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]
    assert (view["coming"], view["outcome"]) == (False, "succeeded")


def test_what_a_person_changed_here_is_kept(sandbox: Sandbox, host: Host) -> None:
    assert sandbox.afield("run", "-d", "-n", host.name, "train.py").returncode == 0
    wait_until(lambda: "log.txt" in home(sandbox), within_s=30, show=sandbox.story)
    (sandbox.project / "outputs/1/log.txt").write_text("mine")
    opened(host, 1)
    opened(host, 2)
    wait_until(lambda: home(sandbox) == {**WHOLE, "log.txt.~1~": "mine"}, within_s=30, show=sandbox.story)


@pytest.mark.parametrize("how", ["killed", "unreachable"])
def test_they_come_when_we_were_away_for_the_whole_run(how: str, sandbox: Sandbox, host: Host) -> None:
    assert sandbox.afield("run", "-d", "-n", host.name, "train.py").returncode == 0
    wait_until(lambda: _begun(sandbox), within_s=30, show=sandbox.story)
    if how == "killed":
        os.kill(controller(sandbox), signal.SIGKILL)
    else:
        host.stop()
    opened(host, 1)
    opened(host, 2)
    wait_until(lambda: not _runs(host), within_s=30, show=sandbox.story)
    if how == "unreachable":
        host.start()
    assert sandbox.afield("wait", "1").returncode == 0
    wait_until(lambda: home(sandbox) == WHOLE, within_s=60, show=sandbox.story)


def _begun(sandbox: Sandbox) -> bool:
    return json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]["started_at"] is not None


def _runs(host: Host) -> bool:
    return any("train.py" in word for p in host.processes() for word in command_line(p))


def test_run_ends_when_they_are_here(sandbox: Sandbox, host: Host) -> None:
    opened(host, 1)
    opened(host, 2)
    done = sandbox.afield("run", "-n", host.name, "--outputs", "first*", "--", "python3", "train.py")
    assert done.returncode == 0, done.stderr
    assert home(sandbox) == {"first.pt": "one", "log.txt": "ab"}
    notes = Path(sandbox.state, "home")
    wait_until(lambda: not list(notes.glob("*.json")), show=sandbox.story)


def test_outputs_that_cannot_be_written_here_say_so_and_come_when_they_can(sandbox: Sandbox, host: Host) -> None:
    opened(host, 1)
    opened(host, 2)
    (sandbox.project / "outputs").write_text("in the way")
    done = sandbox.afield("run", "-n", host.name, "--outputs", "first*", "--", "python3", "train.py")
    assert (done.returncode, b"why: Not a directory: " in done.stderr) == (1, True), done.stderr
    assert b"the outputs of job 1 do not come home" in done.stderr
    assert b"\noutputs      do not come home: Not a directory: " in sandbox.afield("show", "1").stdout
    (sandbox.project / "outputs").unlink()
    wait_until(lambda: "log.txt" in home(sandbox), within_s=30, show=sandbox.story)
    wait_until(lambda: b"\noutputs " not in sandbox.afield("show", "1").stdout, show=sandbox.story)


def test_a_big_one_is_gone_on_from_after_a_cut(sandbox: Sandbox, host: Host) -> None:
    program = "import os; open('big.pt','wb').write(os.urandom(1 << 20) * 400)"
    done = sandbox.afield("run", "-d", "-n", host.name, "--", "python3", "-c", program)
    assert done.returncode == 0, done.stderr
    folder = sandbox.project / "outputs" / "1"
    part = wait_until(lambda: next(iter(folder.glob(".big.pt.*.afpart")), None), within_s=60, show=sandbox.story)
    number = part.stat().st_ino
    host.cut()
    wait_until((folder / "big.pt").exists, within_s=60, show=sandbox.story)
    assert (folder / "big.pt").stat().st_size == 400 << 20
    assert (folder / "big.pt").stat().st_ino == number
