"""The right machine: who has room now, the one that fits, and nothing secret anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.processes import command_line, running
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.e2e.machine_kit import MIB, give_devices, row, uuid

GIB = 1 << 30
PRINTED = [row(1, 0, "NVIDIA A100-SXM4-80GB", 81920, 7), row(2, 1, "NVIDIA A100-SXM4-80GB", 81920, 30211)]
SMALL = [row(3, 0, "NVIDIA GeForce GTX 1070", 8192, 5)]


def add(sandbox: Sandbox, *hosts: Host) -> None:
    for host in hosts:
        done = sandbox.afield("node", "add", host.name)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def own() -> Iterator[Hosts]:
    """Hosts that the tests here may leave as they like."""
    with Hosts(count=3, users=os.geteuid() == 0) as made:
        yield made


@pytest.fixture
def told(own: Hosts) -> Iterator[Sandbox]:
    """An afield that reaches them. box1 has two devices, one of them in a stranger's hands; box2 has a small one."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        give_devices(own[0], PRINTED, [f"{uuid(2)}, {stranger.pid}, python3"])
        give_devices(own[1], SMALL)
        with Sandbox(ssh_config=own.ssh_config) as made:
            yield made
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.usefixtures("needs_sshd")
class TestProbe:
    def test_two_devices_a_small_one_and_a_host_that_is_off(self, own: Hosts, told: Sandbox) -> None:
        """Acceptance 8 and 13: their login shells print banners on both streams."""
        add(told, *own)
        own[2].stop()
        done = told.afield("node", "ls", "--probe", "--json")
        assert done.returncode == 0, done.stderr
        nodes = {n["name"]: n for n in json.loads(done.stdout)["nodes"]}
        assert set(nodes) == {"box1", "box2", "box3", "local"}

        first, second = nodes["box1"]["devices"]
        assert (first["model"], first["memory_bytes"], first["used_bytes"]) == ("a100", 81920 * MIB, 7 * MIB)
        assert (first["busy"], second["used_bytes"]) == ("", 30211 * MIB)
        assert second["busy"].endswith("python3")
        disk = os.statvfs(own[0].home)
        probe = nodes["box1"]["probe"]
        assert probe["disk_bytes"] == disk.f_blocks * disk.f_frsize
        assert abs(probe["disk_free_bytes"] - disk.f_bavail * disk.f_frsize) < 2 * GIB
        assert probe["internet"] in ("yes", "no", "own")
        assert abs(probe["skew_s"]) < 5

        assert nodes["box3"]["health"] == "unreachable"
        assert "refused" in nodes["box3"]["probe"]["error"]["why"]
        shown = told.afield("node", "ls", "--probe").stdout.decode()
        lines = [line.split("\t") for line in shown.splitlines()]
        assert [line[:3] for line in lines if line[0] == "box1"][1:] == [
            ["box1", "free", "a100 0"],
            ["box1", f"in use: {second['busy']}", "a100 1"],
        ]
        assert [line[1] for line in lines if line[0] == "box3"] == ["unreachable"]

    def test_a_host_that_was_off_is_asked_again(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[1])
        own[1].stop()
        assert "unreachable" in told.afield("node", "ls", "--probe").stdout.decode()
        own[1].start()
        found = json.loads(told.afield("node", "ls", "--probe", "--json").stdout)["nodes"][0]
        assert (found["name"], found["health"], found["probe"]["error"]) == ("box2", "ready", None)

    def test_a_program_that_hangs_does_not_hold_up_the_others(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[0], own[1])
        hanging = own[1].home / "bin/nvidia-smi"
        hanging.write_text("#!/bin/sh\nexec sleep 600\n")
        found = {n["name"]: n for n in json.loads(told.afield("node", "ls", "--probe", "--json").stdout)["nodes"]}
        assert found["box1"]["probe"]["error"] is None
        told_why = found["box2"]["probe"]
        assert told_why["error"] is not None or "no answer" in told_why["devices_error"]


@pytest.mark.usefixtures("needs_sshd")
class TestNeed:
    def test_the_fitting_node_with_the_least_to_spare(self, own: Hosts, told: Sandbox) -> None:
        """Acceptance 9."""
        add(told, own[0], own[1])
        show = "echo $AFIELD_NODE $CUDA_VISIBLE_DEVICES"
        done = told.afield("run", "--need", "gpu_mem=1.5G,disk=1G", "--", "sh", "-c", show)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode() == f"box2 {uuid(3)}\n"
        assert "box1 has more to spare; local has no gpu (no devices)" in done.stderr.decode()
        done = told.afield("run", "--need", "gpu_mem=40G", "--", "sh", "-c", show)
        assert done.stdout.decode() == f"box1 {uuid(1)}\n", done.stderr
        assert "box2 has no gpu with 40G free (the largest has 8G)" in done.stderr.decode()

    def test_none_fits_and_each_says_why(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[0], own[1])
        done = told.afield("run", "--need", "gpu_mem=100G,disk=1G", "--", "true")
        assert done.returncode == 5
        text = done.stderr.decode()
        for line in ("box1   has no gpu with 100G free (the largest has 80G); asked", "local  has no gpu (no devices)"):
            assert line in text
        assert json.loads(told.afield("ps", "--all", "--json").stdout)["jobs"] == []

    def test_what_a_stranger_holds_is_waited_for(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[0])
        done = told.afield("run", "-d", "-g", "2", "--need", "gpu_mem=10G", "--", "true")
        assert done.returncode == 0, done.stderr
        why = told.afield("why", "@last").stdout.decode()
        assert "(not a job) on box1, a100 1" in why
        give_devices(own[0], PRINTED)
        told.afield("node", "show", "box1", "--probe")
        assert told.afield("wait", "@last").returncode == 0

    def test_the_key_and_the_keyword(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[0], own[1])
        (told.project / "afield.toml").write_text('need = "gpu_mem=2G"\n')
        script = "import afield\njob = afield.run('true', need='gpu_mem=40G')\njob.wait()\nprint(job.view['nodes'])\n"
        (told.project / "ask.py").write_text(script)
        assert told.afield("run", "--", "sh", "-c", "echo $AFIELD_NODE").stdout == b"box2\n"
        done = subprocess.run(
            [sys.executable, "ask.py"], cwd=told.project, env=told.env, capture_output=True, timeout=60, check=False
        )
        assert "box1" in done.stdout.decode(), done.stderr


VALUE = "hunter2-7d1f-the-value"
SHOW = """\
import hashlib, os, time
print(hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest(), flush=True)
open("go", "w").close()
while os.path.exists("go"):
    time.sleep(0.05)
"""


def holds_value(place: Path) -> list[str]:
    """The files below a folder that have the value in them."""
    found = []
    for above, _, names in os.walk(place):
        for name in names:
            path = Path(above, name)
            try:
                if path.is_file() and VALUE.encode() in path.read_bytes():
                    found.append(str(path))
            except OSError:
                continue
    return found


def on_command_lines() -> list[str]:
    lines = [" ".join(command_line(process)) for process in running()]
    return [line for line in lines if VALUE in line]


@pytest.mark.usefixtures("needs_sshd")
class TestSecrets:
    def test_a_secret_is_in_the_job_and_nowhere_else(self, own: Hosts, told: Sandbox) -> None:
        """Acceptance 12: files on both sides, command lines, answers of the API; while it runs, and after."""
        add(told, own[2])
        done = told.afield("secret", "set", "API_KEY", given=f"{VALUE}\n".encode())
        assert done.returncode == 0, done.stderr
        assert VALUE.encode() not in done.stdout + done.stderr + told.afield("secret", "ls", "--json").stdout
        kept = told.home / ".config/afield/secrets.json"
        assert kept.stat().st_mode & 0o777 == 0o600

        (told.project / "show.py").write_text(SHOW)
        sent = ("run", "-d", "-n", "box3", "--secret", "API_KEY", "--setup", 'test -n "$API_KEY"', "show.py")
        done = told.afield(*sent, "--flag")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: told.afield("logs", "1").stdout)
        assert on_command_lines() == []
        assert holds_value(told.root) == [str(kept)]
        assert holds_value(own.folder) == []
        for path in own[2].home.rglob("go"):
            path.unlink()
        done = told.afield("wait", "1")
        assert done.returncode == 0, told.story()

        assert told.afield("logs", "1").stdout.decode().strip() == hashlib.sha256(VALUE.encode()).hexdigest()
        for words in (("show", "1", "--json"), ("ps", "--all", "--json"), ("node", "ls", "--json"), ("config",)):
            assert VALUE.encode() not in told.afield(*words).stdout
        assert json.loads(told.afield("show", "1", "--json").stdout)["job"]["secrets"] == ["API_KEY"]
        assert holds_value(told.root) == [str(kept)]
        assert holds_value(own.folder) == []

    def test_each_attempt_reads_the_value_anew(self, own: Hosts, told: Sandbox) -> None:
        """The controller is killed and the secret changed while the job waits for its next attempt."""
        add(told, own[2])
        told.afield("secret", "set", "TOKEN", given=b"first")
        done = told.afield("run", "-n", "box3", "--secret", "TOKEN", "--", "sh", "-c", "echo $TOKEN | rev")
        assert done.stdout == b"tsrif\n", done.stderr
        told.afield("node", "set", "box3", "drained=true")
        told.afield("run", "-d", "-n", "box3", "--secret", "TOKEN", "--", "sh", "-c", "echo $TOKEN | rev")
        server = next(p.pid for p in told.processes() if "afield.server" in command_line(p))
        os.kill(server, 9)
        told.afield("secret", "set", "TOKEN", given=b"second")
        told.afield("node", "set", "box3", "drained=false")
        assert told.afield("wait", "2").returncode == 0
        assert told.afield("logs", "2").stdout == b"dnoces\n"

    def test_a_secret_that_is_gone_fails_the_job_with_the_reason(self, own: Hosts, told: Sandbox) -> None:
        add(told, own[2])
        told.afield("secret", "set", "TOKEN", given=b"first")
        told.afield("node", "set", "box3", "drained=true")
        told.afield("run", "-d", "-n", "box3", "--secret", "TOKEN", "--", "true")
        told.afield("secret", "rm", "TOKEN")
        told.afield("node", "set", "box3", "drained=false")
        assert told.afield("wait", "1").returncode == 7
        assert "there is no secret TOKEN" in told.afield("why", "1").stdout.decode()

    def test_unknown_and_told_on_the_command_line(self, told: Sandbox) -> None:
        assert told.afield("secret", "set", f"KEY={VALUE}").returncode == 2
        done = told.afield("run", "--secret", "NOPE", "--", "true")
        assert done.returncode == 3
        assert b"afield secret set NOPE" in done.stderr
