"""The main path on real SSH hosts: no root there, nothing installed but Python, and every fault on the way."""

from __future__ import annotations

import json
import os
import signal

from afield.testing.hosts import Host, Hosts
from afield.testing.processes import command_line, running
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until


def controller(sandbox: Sandbox) -> int:
    return next(p.pid for p in sandbox.processes() if "afield.server" in command_line(p))


def test_add_run_and_forget(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "train.py").write_text(
        "import os, pathlib\nprint(os.environ['AFIELD_NODE'], os.getuid())\n"
        "pathlib.Path(os.environ['OUTPUT_DIR'], 'r.txt').write_text('result')\n"
    )
    done = sandbox.afield("run", "-n", host.name, "train.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{host.name} {host.user.pw_uid}\n"
    assert (sandbox.project / "outputs/1/r.txt").read_text() == "result"
    listed = sandbox.afield("node", "ls").stdout.decode()
    assert f"{host.name}\tready" in listed
    assert sandbox.afield("node", "show", host.name).returncode == 0
    assert sandbox.afield("doctor", host.name).returncode == 0
    assert sandbox.afield("node", "rm", host.name).returncode == 0
    assert host.name not in sandbox.afield("node", "ls").stdout.decode()


def test_a_job_on_a_removed_node_is_lost_and_says_so(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    other = hosts[1]
    assert sandbox.afield("node", "add", other.name).returncode == 0
    two = ("-n", host.name, "-n", other.name, "--request", "2:[cpu=2]")
    assert sandbox.afield("run", *two, "-d", "--", "sh", "-c", "echo up; sleep 300").returncode == 0
    wait_until(lambda: sandbox.afield("logs", "1").stdout.count(b"up") == 2)
    assert sandbox.afield("node", "rm", host.name).returncode == 4
    assert sandbox.afield("node", "rm", host.name, "--force").returncode == 0
    assert sandbox.afield("wait", "1").returncode == 6
    assert f"node {host.name} was removed".encode() in sandbox.afield("show", "1").stdout
    assert not [p for p in running() if p.uid == other.user.pw_uid and p.name == "sleep"], "the other part was stopped"


def test_exec_on_one_and_on_all(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield("exec", "-n", host.name, "--", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (done.returncode, done.stdout) == (9, b"out\n")
    assert b"err\n" in done.stderr
    everywhere = sandbox.afield("exec", "--all", "--", "echo", "hi")
    assert everywhere.returncode == 0
    assert sorted(everywhere.stdout.decode().splitlines()) == sorted([f"[{host.name}] hi", "[local] hi"])


def test_a_gang_over_two_hosts(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    other = hosts[1]
    assert sandbox.afield("node", "add", other.name).returncode == 0
    program = (
        "import os, socket\n"
        "rank, port = int(os.environ['RANK']), int(os.environ['MASTER_PORT'])\n"
        "print(os.environ['AFIELD_NODE'], os.environ['AFIELD_WORKERS'], os.environ['WORLD_SIZE'], port > 0)\n"
    )
    done = sandbox.afield(
        "run", "-n", host.name, "-n", other.name, "--request", "2:[cpu=2]", "--", "python3", "-c", program
    )
    assert done.returncode == 0, done.stderr
    lines = sorted(line.split("] ")[1] for line in done.stdout.decode().splitlines())
    assert lines == [f"{n} 2 2 True" for n in sorted([host.name, other.name])]


def test_the_job_goes_on_without_us(sandbox: Sandbox, host: Host) -> None:
    with sandbox.start("run", "-n", host.name, "--", "sh", "-c", "echo one; sleep 3; echo two; exit 3") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"one\n"
        os.kill(controller(sandbox), signal.SIGKILL)
        out, err = command.communicate(timeout=60)
    assert out == b"two\n", err
    assert command.returncode == 3, err


def test_a_cut_connection_is_no_news_of_the_job(sandbox: Sandbox, host: Host) -> None:
    with sandbox.start("run", "-n", host.name, "--", "sh", "-c", "echo one; sleep 3; echo two; exit 4") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"one\n"
        host.cut()
        out, err = command.communicate(timeout=60)
    assert (out, command.returncode) == (b"two\n", 4), err


def test_a_restarted_sshd_is_no_news_of_the_job(sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield("run", "-d", "-n", host.name, "--", "sh", "-c", "echo one; sleep 2; echo two; exit 5")
    assert done.stdout == b"1\n", done.stderr
    wait_until(lambda: sandbox.afield("logs", "1").stdout == b"one\n", show=sandbox.story)
    host.stop()
    try:
        shown = wait_until(lambda: _unreachable(sandbox), show=sandbox.story)
        phase = json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]["phase"]
        why = sandbox.afield("why", "1").stdout.decode()
    finally:
        host.start()
    assert f"{host.name} has not answered for" in why
    lost, tried = f"the connection to {host.name} was lost: ", f"{host.name} cannot be reached: "
    assert lost in why or (tried in why and f"try: ssh {host.name} true" in why), why
    assert (shown, phase) == ([host.name], "running")
    followed = sandbox.afield("logs", "1", "-f", within_s=90)
    assert (followed.stdout, followed.returncode) == (b"one\ntwo\n", 5), followed.stderr


def test_a_setup_that_fails_out_of_reach_is_told_with_its_last_words(sandbox: Sandbox, host: Host) -> None:
    setup = "echo before; sleep 3; echo after; exit 3"
    with sandbox.start("run", "-n", host.name, "--setup", setup, "--", "true") as command:
        wait_until(lambda: b"under way: setup" in sandbox.afield("why", "1").stdout, show=sandbox.story)
        host.stop()
        try:
            ended = wait_until(lambda: list(host.home.glob(".afield/s/*/runs/1.1/stage/setup/exit.json")))
        finally:
            host.start()
        _, err = command.communicate(timeout=90)
    assert (len(ended), command.returncode) == (1, 7), err
    assert b"before\nafter\n" in err.replace(b"\r", b""), err


def _unreachable(sandbox: Sandbox) -> list[str]:
    nodes = json.loads(sandbox.afield("node", "ls", "--json").stdout)["nodes"]
    return [n["name"] for n in nodes if n["health"] == "unreachable"]


def test_stop_on_a_host_leaves_nothing(sandbox: Sandbox, host: Host) -> None:
    before = {p.pid for p in host.processes()}
    program = "setsid sh -c 'sleep 1000 & sleep 1001' & sleep 1002"
    sandbox.afield("run", "-d", "-n", host.name, "--grace", "1s", "--", "sh", "-c", program)
    wait_until(lambda: len(_sleeps(host)) == 3, show=sandbox.story)
    assert sandbox.afield("stop", "1").returncode == 0
    assert _sleeps(host) == []
    assert before


def _sleeps(host: Host) -> list[int]:
    return [p.pid for p in host.processes() if command_line(p)[:1] == ["sleep"] and command_line(p)[1][:3] == "100"]


def test_a_second_name_for_the_same_machine_is_refused(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield("node", "add", host.name, "--name", "twin")
    assert done.returncode == 2
    assert b"same machine" in done.stderr


def test_an_unknown_node_gets_a_hint(sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield("run", "-n", host.name + "x", "--", "true")
    assert done.returncode == 3, done.stderr
    assert host.name.encode() in done.stderr
    assert json.loads(sandbox.afield("ps", "--json").stdout)["jobs"] == []


def test_hosts_that_cannot_be_reached_say_how(hosts: Hosts, sandbox: Sandbox) -> None:
    gone = hosts[2]
    gone.stop()
    try:
        done = sandbox.afield("node", "add", gone.name)
    finally:
        gone.start()
    assert done.returncode == 6, done.stderr
    assert b"why:" in done.stderr
    assert b"try:" in done.stderr
    assert gone.name not in sandbox.afield("node", "ls").stdout.decode()


def test_a_changed_host_key_is_refused(hosts: Hosts, sandbox: Sandbox) -> None:
    chosen = hosts[2]
    chosen.rotate_host_key()
    try:
        done = sandbox.afield("node", "add", chosen.name)
    finally:
        hosts.trust()
    assert done.returncode == 6, done.stderr
    assert b"key" in done.stderr


def test_the_controller_can_be_killed_again_and_again(sandbox: Sandbox, host: Host) -> None:
    script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done"
    sandbox.afield("run", "-d", "-n", host.name, "--", "sh", "-c", script)
    for _ in range(4):
        sandbox.afield("ps")
        os.kill(controller(sandbox), signal.SIGKILL)
    done = sandbox.afield("logs", "1", "-f")
    assert done.stdout == b"1\n2\n3\n4\n5\n6\n", sandbox.story()
    assert done.returncode == 0
