"""A small project on another machine, as somebody meets it who used to send it there by hand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from afield.testing.hosts import Host
from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

TREE = (
    "import os\nfor top, _, files in os.walk('.'):\n    for f in files: print(os.path.relpath(os.path.join(top, f)))\n"
)


@pytest.fixture
def project(sandbox: Sandbox) -> Path:
    """Two modules, one file of data that is wanted, one module that is not, a virtual environment."""
    folder = sandbox.project
    for name in ("main.py", "model.py", "scratch.py"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "tree.py").write_text(TREE)
    (folder / "data").mkdir()
    for name in ("wanted.csv", "other.csv"):
        (folder / "data" / name).write_text("1,2\n")
    (folder / ".afieldinclude").write_text("data/wanted.csv\n")
    (folder / ".afieldignore").write_text("scratch.py\n")
    subprocess.run(["python3", "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    return folder


def tree(sandbox: Sandbox, host: Host) -> tuple[set[str], str]:
    """The files that a job finds on the host, and what was said of sending them."""
    done = sandbox.afield("run", "-n", host.name, "tree.py")
    assert done.returncode == 0, done.stderr
    sync = next(line for line in done.stderr.decode().splitlines() if " sync " in line)
    return set(done.stdout.decode().split()), sync


def test_the_host_has_exactly_the_code_and_what_was_included(sandbox: Sandbox, host: Host, project: Path) -> None:
    assert sandbox.afield("init").returncode == 0
    files, _ = tree(sandbox, host)
    written = {"afield.toml", ".afieldinclude", ".afieldignore"}
    assert files - written == {"main.py", "model.py", "tree.py", "data/wanted.csv"}


def test_an_edit_sends_one_file_and_a_deleted_one_is_gone_there(sandbox: Sandbox, host: Host, project: Path) -> None:
    tree(sandbox, host)
    (project / "model.py").write_text("# better\n")
    _, said = tree(sandbox, host)
    assert "sent what differs" in said
    (project / "main.py").unlink()
    files, _ = tree(sandbox, host)
    assert "main.py" not in files
    assert "model.py" in files


def test_what_a_program_prints_and_how_it_ends_arrive_as_they_are(sandbox: Sandbox, host: Host) -> None:
    program = "import sys; print(1); print('EOF'); print(\"it's $HOME\"); sys.exit(3)"
    first = sandbox.afield("run", "-n", host.name, "--", "python3", "-c", program)
    assert (first.stdout, first.returncode) == (b"1\nEOF\nit's $HOME\n", 3), first.stderr
    assert sandbox.afield("run", "-n", host.name, "--", "echo", "the second").stdout == b"the second\n"
    followed = sandbox.afield("logs", "1", "-f")
    assert (followed.stdout, followed.returncode) == (first.stdout, 3), followed.stderr
    assert sandbox.afield("logs", "2").stdout == b"the second\n"


def test_a_stop_ends_the_job_and_nobody_elses_processes(sandbox: Sandbox, host: Host) -> None:
    with subprocess.Popen(host.command("sleep", "4242")) as stranger:
        sandbox.afield("run", "-d", "-n", host.name, "--", "sh", "-c", "sleep 4243 & sleep 4244")
        wait_until(lambda: _sleeping(host) >= {"4242", "4243", "4244"}, show=sandbox.story)
        assert sandbox.afield("stop", "1").returncode == 0
        assert _sleeping(host) == {"4242"}
        stranger.terminate()
    running = sandbox.afield("ps", "--json", "number,phase").stdout
    assert b'"running"' not in running


def test_all_jobs_are_stopped_when_that_is_asked_for(sandbox: Sandbox, host: Host) -> None:
    ours = {"4245", "4246"}
    for seconds in sorted(ours):
        sandbox.afield("run", "-d", "-n", host.name, "--", "sleep", seconds)
    wait_until(lambda: _sleeping(host) >= ours, show=sandbox.story)
    unasked = sandbox.afield("stop", "--all")
    assert (unasked.returncode, b"2 jobs are not over, 2 running" in unasked.stderr) == (2, True), unasked.stderr
    assert _sleeping(host) >= ours
    assert sandbox.afield("stop", "--all", "1").returncode == 2
    assert sandbox.afield("stop").returncode == 2
    done = sandbox.afield("stop", "--all", "-y")
    assert (done.returncode, done.stdout) == (0, b"job 1: stopped\njob 2: stopped\n"), done.stderr
    assert not _sleeping(host) & ours
    again = sandbox.afield("stop", "--all")
    assert (again.returncode, again.stderr) == (0, b"no job is to be stopped\n")


def _sleeping(host: Host) -> set[str]:
    lines = [command_line(p) for p in host.processes()]
    return {words[1] for words in lines if len(words) == 2 and os.path.basename(words[0]) == "sleep"}
