"""Functions as jobs on a real SSH host: nothing but Python is there, and it may be gone for a while."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

HEAD = """\
import os, pathlib, sys, time
import afield as af
"""


@pytest.fixture
def host(hosts: Hosts, sandbox: Sandbox) -> Host:
    """The first host, added as a node; its Python is the one that this one can send functions to."""
    chosen = hosts[0]
    wanted = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if subprocess.run(chosen.command("command", "-v", wanted), capture_output=True, check=False).returncode:
        pytest.skip(f"the system has no {wanted}, so the hosts on this machine have none")
    done = sandbox.afield("node", "add", chosen.name)
    assert done.returncode == 0, done.stderr
    return chosen


def start(sandbox: Sandbox, program: str, *words: str) -> subprocess.Popen[str]:
    (sandbox.project / "afield.toml").touch()
    (sandbox.project / "main.py").write_text(HEAD + textwrap.dedent(program))
    pipe = subprocess.PIPE
    command = [sys.executable, "main.py", *words]
    return subprocess.Popen(command, cwd=sandbox.project, env=sandbox.env, stdout=pipe, stderr=pipe, text=True)


def finish(sandbox: Sandbox, program: subprocess.Popen[str]) -> str:
    out, err = program.communicate(timeout=90)
    assert program.returncode == 0, sandbox.story(out.encode(), err.encode())
    return out


def test_values_errors_and_large_results_come_from_a_host(sandbox: Sandbox, host: Host) -> None:
    program = start(
        sandbox,
        """
        @af.function(node=sys.argv[1])
        def work(size, fail=False):
            if fail:
                raise KeyError(size)
            return af.current().node, os.getuid(), bytes(size), af.__file__

        node, uid, data, file = work.submit(20_000_000).result(60)
        assert node == sys.argv[1] and len(data) == 20_000_000
        assert "/.afield/r/" in file, file
        try:
            work.submit(1, fail=True).result(60)
        except KeyError as error:
            assert "in work" in error.__cause__.traceback
        assert len(work.submit(len(bytes(5_000_000))).result(60)[2]) == 5_000_000
        print(uid)
        """,
        host.name,
    )
    assert finish(sandbox, program) == f"{host.user.pw_uid}\n"


def test_large_arguments_reach_a_host_whole(sandbox: Sandbox, host: Host) -> None:
    program = start(
        sandbox,
        """
        import hashlib

        @af.function(node=sys.argv[1])
        def digest(data):
            return hashlib.sha256(data).hexdigest()

        data = os.urandom(3_000_000)
        print(digest.submit(data).result(60) == digest(data))
        """,
        host.name,
    )
    assert finish(sandbox, program) == "True\n"


PATIENT = """\
from afield.sdk.watcher import watcher

@af.function(node=sys.argv[1])
def slow(path):
    while not os.path.exists(os.path.expanduser(path)):
        time.sleep(0.02)
    return "done"

first = slow.submit("/")
assert first.result(60) == "done"
running = slow.submit("~/go")
while running.phase != "running":
    time.sleep(0.02)
print("running", flush=True)
while not os.path.exists("gone"):
    time.sleep(0.02)
try:
    af.job(1).result(60)
except af.AfieldError as error:
    print(error.code, flush=True)
again = af.Call(watcher().client, first.view)
watcher().add(again)
print(running.result(60), again.result(60))
"""


def test_a_host_that_is_gone_delays_a_result_and_loses_none(sandbox: Sandbox, host: Host) -> None:
    program = start(
        sandbox,
        PATIENT,
        host.name,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "running\n", program.stderr
    host.stop()
    try:
        host.cut()
        (host.home / "go").touch()
        (sandbox.project / "gone").touch()
        assert program.stdout.readline() == "unreachable\n"
    finally:
        host.start()
    try:
        assert finish(sandbox, program) == "done done\n"
    finally:
        (host.home / "go").unlink()


def test_a_job_on_a_host_sees_that_it_shall_stop(sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "train.py").write_text(
        "import time\nimport afield as af\nnow = af.current()\n"
        "while not now.stop_requested():\n    now.progress(1, 4)\n    time.sleep(0.02)\n"
        "(now.output_dir / 'saved').write_text('x')\nprint('saved')\n"
    )
    assert sandbox.afield("run", "-d", "-n", host.name, "train.py").returncode == 0
    wait_until(lambda: b"1 of 4, 25%" in sandbox.afield("show", "1").stdout, show=sandbox.story)
    assert sandbox.afield("stop", "1").stdout == b"job 1: stopped\n"
    assert sandbox.afield("logs", "1").stdout == b"saved\n"
    assert sandbox.afield("pull", "1").returncode == 0
    assert (sandbox.project / "outputs/1/saved").exists()
