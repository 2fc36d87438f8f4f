"""The test hosts are real: the OpenSSH client logs in, and their failures look like those of machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from afield.errors import AfieldError, UsageError
from afield.testing.hosts import Host, Hosts, sweep
from afield.testing.processes import has_variable, look, running
from afield.testing.waiting import wait_until

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make system users")


def ssh(host: Host, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(host.command(command), input=given, capture_output=True, timeout=30, check=False)


def said(host: Host, command: str) -> str:
    done = ssh(host, command)
    assert done.returncode == 0, f"{done.stderr.decode()}\n{host.log}"
    return done.stdout.decode().strip()


@pytest.fixture(params=[False, pytest.param(True, marks=root_only)], ids=["same account", "own account"])
def pair(request, needs_sshd):
    with Hosts(count=2, users=request.param) as made:
        yield made


def test_a_command_runs_in_the_hosts_own_home(pair):
    for host in pair:
        assert said(host, "echo $HOME; pwd; echo ~").split() == [str(host.home)] * 3


def test_arguments_input_output_and_exit_status_pass_untouched(pair):
    done = ssh(pair[0], "printf '%s|' \"a  b\" '$HOME' é; cat; echo oops >&2; exit 37", b"\x00\xff\r\n")
    assert (done.returncode, done.stdout, done.stderr) == (37, "a  b|$HOME|é|".encode() + b"\x00\xff\r\n", b"oops\n")
    assert said(pair[0], "env | grep -c SSH_ORIGINAL_COMMAND || true") == "0"


def test_the_hosts_shell_reads_its_own_start_files(pair):
    (pair[0].home / ".bashrc").write_text("echo welcome\n")
    with_banner, without = said(pair[0], "true"), said(pair[1], "true")
    assert (with_banner, without) in [("welcome", ""), ("", "")]  # a shell other than bash reads no file here


def test_files_are_copied_relative_to_the_hosts_home(pair, tmp_path):
    (tmp_path / "file").write_text("x")
    subprocess.run(["scp", "-q", "-F", pair.ssh_config, tmp_path / "file", "box2:there"], check=True, timeout=30)
    assert (pair[1].home / "there").read_text() == "x"
    assert not (pair[0].home / "there").exists()


def test_a_stopped_host_refuses_and_comes_back(pair):
    pair[0].stop()
    assert ssh(pair[0], "true").returncode == 255
    assert said(pair[1], "echo fine") == "fine"
    pair[0].start()
    assert said(pair[0], "echo back") == "back"


@pytest.mark.parametrize("cut", [Host.cut, Host.stop, Host.restart])
def test_a_cut_connection_does_not_end_what_runs_there(pair, cut):
    host = pair[0]
    with subprocess.Popen(
        host.command("setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!; exec cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        pid = int(client.stdout.readline())
        cut(host)
        client.wait(timeout=20)
        assert client.returncode == 255
    assert pid in {process.pid for process in host.processes()}
    host.kill_everything()
    assert look(pid) is None


def test_a_power_cut_leaves_nothing_and_spares_the_neighbour(pair):
    for host in pair:
        said(host, "(setsid sleep 301 >/dev/null 2>&1 </dev/null &) ; (sleep 302 >/dev/null 2>&1 </dev/null &)")
    assert pair[0].kill_everything() == 2
    assert pair[0].processes() == []
    assert [process.name for process in pair[1].processes()] == ["sleep", "sleep"]
    assert not pair[0].up
    pair[0].start()
    assert said(pair[0], "echo back") == "back"


WITNESS = """
sleep 300 & first=$!
for i in $(seq 60); do sleep 300 & done
(while read -r x < /proc/$first/cmdline; [ -n "$x" ]; do :; done; touch seen) &
"""


def test_nobody_sees_the_others_end_in_a_power_cut(pair):
    said(pair[0], f"({WITNESS}) >/dev/null 2>&1 </dev/null")
    assert pair[0].kill_everything() >= 62
    assert not (pair[0].home / "seen").exists()
    pair[0].start()


def test_a_reboot_ends_everything_and_shows_a_new_boot_id(pair):
    said(pair[0], "(setsid sleep 303 >/dev/null 2>&1 </dev/null &)")
    before, neighbour = (said(host, "cat $AFIELD_BOOT_FILE") for host in pair)
    pair[0].reboot()
    assert pair[0].processes() == []
    assert said(pair[0], "cat $AFIELD_BOOT_FILE") not in {before, neighbour}
    assert said(pair[1], "cat $AFIELD_BOOT_FILE") == neighbour


def test_a_new_host_key_is_refused_until_it_is_trusted(pair):
    pair[0].rotate_host_key()
    refused = ssh(pair[0], "true")
    assert refused.returncode == 255
    assert b"Host key verification failed" in refused.stderr
    pair.trust()
    assert said(pair[0], "echo known") == "known"


def test_an_unknown_host_is_refused(needs_sshd):
    with Hosts(count=1, known=False) as hosts:
        assert b"Host key verification failed" in ssh(hosts[0], "true").stderr


@root_only
def test_users_cannot_touch_each_other(needs_sshd):
    with Hosts(count=2, users=True) as hosts:
        assert said(hosts[0], "id -un") == hosts[0].user.pw_name
        assert said(hosts[0], "id -u") != "0"
        assert ssh(hosts[0], f"ls {hosts[1].home}").returncode != 0
        assert ssh(hosts[0], f"cat {hosts.folder}/identity").returncode != 0
        names = [host.user.pw_name for host in hosts]
    assert not [name for name in names if name in Path("/etc/passwd").read_text()]


KILLED = """
import os, signal, sys
from afield.testing.hosts import Hosts
hosts = Hosts(count=1, users=sys.argv[1] == "users").__enter__()
os.system(" ".join(hosts[0].command("'(sleep 303 </dev/null >/dev/null 2>&1 &)'")))
print(hosts[0]._server.pid, hosts[0].user.pw_name, hosts.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["same", pytest.param("users", marks=root_only)])
def test_what_a_killed_process_left_is_removed(kind, needs_sshd):
    words = [sys.executable, "-c", KILLED, kind]
    server, name, folder = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    assert Path(folder).exists()
    wait_until(lambda: look(int(server)) is None)
    sweep()
    assert not Path(folder).exists()
    assert not [process for process in running() if has_variable(process, "HOME", f"{folder}/box1/home")]
    assert kind == "same" or name not in Path("/etc/passwd").read_text()


def test_a_failed_start_leaves_nothing(tmp_path, monkeypatch, needs_sshd):
    monkeypatch.setattr("afield.testing.sshd.COMMON", "NoSuchKeyword yes\n")
    hosts = Hosts(count=2, folder=tmp_path)
    with pytest.raises(AfieldError, match="did not listen") as failure:
        hosts.__enter__()
    assert "NoSuchKeyword" in failure.value.why
    assert len(hosts) == 0


def test_sixty_four_hosts_answer(needs_sshd):
    with Hosts(count=64) as hosts:
        clients = [subprocess.Popen(host.command("echo $HOME"), stdout=subprocess.PIPE) for host in hosts]
        homes = [client.communicate(timeout=60)[0].decode().strip() for client in clients]
        assert homes == [str(host.home) for host in hosts]


@root_only
def test_a_closed_folder_is_refused_before_users_are_made(tmp_path):
    with pytest.raises(UsageError, match="cannot reach"):
        Hosts(count=1, folder=tmp_path / "hosts", users=True).__enter__()


@pytest.mark.parametrize("count", [0, 255])
def test_a_count_that_does_not_fit_is_refused(count):
    with pytest.raises(UsageError, match="between 1 and 254"):
        Hosts(count=count)
