"""A sandbox is private, and nothing that ran in it outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from afield.errors import AfieldError
from afield.testing.processes import look, running
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], "w").write("left"), sys.exit()))
print("ready", flush=True)
time.sleep(300)
"""


@pytest.fixture
def package(tmp_path):
    """A module that is called like the controller's process."""
    folder = tmp_path / "afield" / "server"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").touch()
    (folder / "__main__.py").write_text(POLITE)
    return tmp_path


def start(sandbox, *words, **env):
    return subprocess.Popen(words, env={**sandbox.env, **env}, stdout=subprocess.PIPE, cwd=sandbox.project)


def test_the_controller_may_leave_by_itself(package, tmp_path):
    with Sandbox() as sandbox:
        told = tmp_path / "told"
        server = start(sandbox, sys.executable, "-m", "afield.server", told, PYTHONPATH=os.fspath(package))
        assert server.stdout.readline() == b"ready\n"
    assert told.read_text() == "left"
    assert server.wait() == 0


def test_what_ignores_the_request_is_ended(tmp_path):
    with Sandbox() as sandbox:
        stubborn = start(sandbox, "sh", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 300; done")
        # A job does not inherit the caller's variables: its home folder tells where it belongs.
        job = start(sandbox, "env", "-u", "AFIELD_SANDBOX", "setsid", "sleep", "300")
        assert stubborn.stdout.readline() == b"ready\n"
        wait_until(lambda: len(sandbox.processes()) == 3, show=sandbox.story)
        outside = subprocess.Popen(["sleep", "300"])
    assert not sandbox.root.exists()
    assert [process for process in running() if process.pid in {stubborn.pid, job.pid}] == []
    assert look(outside.pid) is not None
    outside.kill()
    for child in (stubborn, job, outside):
        child.wait()


def test_two_sandboxes_share_nothing():
    with Sandbox() as one, Sandbox(variables={"EXTRA": "1"}) as other:
        private = ("HOME", "AFIELD_STATE_DIR", "AFIELD_CACHE_DIR", "XDG_RUNTIME_DIR", "AFIELD_SANDBOX")
        assert all(one.env[name] != other.env[name] for name in private)
        assert other.env["EXTRA"] == "1"
        assert all(Path(one.env[name]).stat().st_mode & 0o077 == 0 for name in private[:-1])
        child = start(one, "sleep", "300")
        wait_until(one.processes)
        assert other.processes() == []
        other.close()
        assert look(child.pid) is not None
        one.close()
        child.wait()


KILLED = """
import os, signal, subprocess
from afield.testing.sandbox import Sandbox
sandbox = Sandbox()
print(subprocess.Popen(["sleep", "300"], env=sandbox.env, stdout=-3).pid, sandbox.root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed():
    words = [sys.executable, "-c", KILLED]
    pid, root = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    assert look(int(pid)) is not None
    with Sandbox():
        assert look(int(pid)) is None
        assert not Path(root).exists()


def test_a_command_that_hangs_tells_its_story(sandbox, monkeypatch):
    fake = sandbox.root / "bin"
    fake.mkdir()
    (fake / "afield").write_text("#!/bin/sh\necho half way\nexec sleep 300\n")
    (fake / "afield").chmod(0o755)
    monkeypatch.setattr("sys.executable", os.fspath(fake / "python"))
    (sandbox.state / "server.log").write_text("the server was here\n")
    with pytest.raises(AfieldError, match=r"afield run x did not end within 1 s") as failure:
        sandbox.afield("run", "x", within_s=1)
    assert "half way" in failure.value.why
    assert "the server was here" in failure.value.why


def test_hosts_are_reached_when_the_test_asks_for_them(sandbox, hosts):
    words = ["ssh", "-F", sandbox.env["AFIELD_SSH_CONFIG"], "box3", "echo $HOME"]
    assert subprocess.run(words, capture_output=True, check=True, text=True).stdout.strip() == str(hosts["box3"].home)
