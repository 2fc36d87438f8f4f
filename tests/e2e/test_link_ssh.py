"""Real sshds that refuse, change and vanish: each failure gets its own words, and a person's login is used by links."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afield.errors import AfieldError, Unreachable, UsageError
from afield.testing.hosts import Hosts
from afield.testing.processes import identity
from afield.testing.waiting import wait_until
from afield.transport import forwards, host_keys, reap, refusal
from afield.transport.bundle import bundle
from afield.transport.carrier import Carrier
from afield.transport.command import COMMAND
from afield.transport.ssh import Ssh
from afield.transport.start import start

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def box(needs_sshd):
    """One host of this test alone; its key is known."""
    with Hosts(count=1) as made:
        yield made


@pytest.fixture
def to(box, sandbox):
    """Makes transports: to("box1") by the host's ssh config, with further lines put before it."""

    def make(target: str = "box1", *lines: str) -> Ssh:
        config = sandbox.root / "config"
        config.write_text("\n".join(lines) + "\n" + box.ssh_config.read_text())
        return Ssh(target, control=sandbox.runtime / "c", config=str(config))

    return make


async def run(*argv, check: bool = True, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A program run to its end, away from the event loop."""
    given = {**os.environ, **environment}
    return await asyncio.to_thread(
        subprocess.run, argv, stdin=subprocess.DEVNULL, capture_output=True, env=given, check=check, timeout=60
    )


async def gone(pid: int) -> None:
    """Returns once no such process runs."""
    await asyncio.to_thread(wait_until, lambda: not identity(pid))


async def refused(transport: Ssh) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        await transport.open("store1")
    assert caught.value.what
    assert caught.value.hints
    return caught.value


async def test_a_stopped_host_refuses(box, to):
    box[0].stop()
    error = await refused(to())
    assert (error.code, "refused the connection" in error.why) == ("unreachable", True)


async def test_an_unknown_name_is_named(to):
    error = await refused(to("nowhere.invalid"))
    assert error.code == "unreachable"
    assert "name is not known" in error.why


async def test_a_host_that_never_answers_is_given_up(to, sandbox, monkeypatch):
    quiet = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = quiet.sockets[0].getsockname()[1]
    error = await refused(to("quiet", f"Host quiet\n HostName 127.0.0.1\n Port {port}", "Host *\n ConnectTimeout 1"))
    assert error.code == "unreachable"
    quiet.close()


async def test_a_key_that_is_not_accepted(box, to):
    (box[0].folder / "authorized_keys").write_text("")
    error = await refused(to())
    assert (error.code, error.why) == ("login-refused", "no key was accepted; it takes publickey")


async def test_a_host_that_asks_a_person(box, to):
    (box[0].folder / "authorized_keys").write_text("")
    config = box[0].folder / "sshd_config"
    config.write_text("PasswordAuthentication yes\n" + config.read_text())
    box[0].restart()
    error = await refused(to())
    assert (error.code, error.why) == ("needs-login", "it asks for password")
    assert "afield node login NAME" in error.hints


async def test_an_unknown_host_key_is_shown_and_can_be_trusted(box, to):
    box.known_hosts.write_text("")
    error = await refused(to())
    (key,) = await host_keys.fingerprints("box1", str(box.ssh_config))
    assert error.code == "host-key-unknown"
    assert key.fingerprint in error.why
    shown = await run("ssh-keygen", "-lf", box[0].folder / "host_key.pub")
    assert key.fingerprint == shown.stdout.decode().split()[1]
    assert box.known_hosts.read_text() == ""  # looking is not trusting
    assert await host_keys.trust("box1", [key], str(box.ssh_config)) == box.known_hosts
    await (await to().open("store1")).close()


async def test_trust_keeps_what_the_file_had(box):
    box.known_hosts.write_text("# mine, without an end of line")
    keys = await host_keys.fingerprints("box1", str(box.ssh_config))
    await host_keys.trust("box1", keys, str(box.ssh_config))
    assert box.known_hosts.read_text().splitlines() == ["# mine, without an end of line", keys[0].line]


async def test_a_changed_host_key_stops_with_both_fingerprints(box, to):
    (before,) = await host_keys.fingerprints("box1", str(box.ssh_config))
    box[0].rotate_host_key()
    error = await refused(to())
    box.known_hosts.write_text("")
    (now,) = await host_keys.fingerprints("box1", str(box.ssh_config))
    assert error.code == "host-key-changed"
    assert before.fingerprint in error.why
    assert now.fingerprint in error.why
    assert before.fingerprint != now.fingerprint


async def test_no_fingerprint_of_a_host_that_is_off(box):
    box[0].stop()
    with pytest.raises(Unreachable):
        await host_keys.fingerprints("box1", str(box.ssh_config))


async def test_a_wrong_ssh_config_is_told_apart(to):
    assert (await refused(to("box1", "NoSuchOption yes"))).code == "ssh-config"


async def test_a_login_that_runs_no_commands(box, to):
    (box[0].folder / "enter").write_text("#!/bin/sh\necho This account is currently not available.\nexit 1\n")
    error = await refused(to())
    assert (error.code, error.why) == ("no-shell", "This account is currently not available.")


async def test_a_login_that_hangs_is_given_up_with_its_last_words(box, to, monkeypatch):
    monkeypatch.setattr("afield.transport.start.WITHIN_S", 2.0)
    (box[0].folder / "enter").write_text("#!/bin/sh\necho choose a project:\nexec sleep 600\n")
    error = await refused(to())
    assert error.code == "silent"
    assert error.hints == ("its login says: choose a project:",)


async def test_noise_of_the_login_does_no_harm(box, to):
    (box[0].folder / "enter").write_text(
        "#!/bin/sh\nhead -c 300000 /dev/zero\nprintf 'afield-read\\nno end of line'; echo oops >&2\n"
        'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    link = await to().open("store1")
    assert (await link.call("exec", argv=["echo", "hello"]))[1] == b"hello\n"
    await link.close()


async def test_settings_of_the_user_that_would_disturb_do_not(to):
    link = await to(
        "box1", "Host *\n RemoteCommand tmux\n RequestTTY force\n ForwardAgent yes\n LocalForward 1 localhost:2"
    ).open("store1")
    assert (await link.call("ping"))[0] == {}
    await link.close()


async def test_a_host_that_goes_away_closes_the_link(box, to):
    link = await to().open("store1")
    box[0].cut()
    assert await asyncio.wait_for(link.wait_closed(), 20)
    again = await to().open("store1")
    await again.close()


async def test_the_link_is_the_master_and_shells_are_its_channels(box, to):
    transport = to()
    assert not await transport.check()
    link = await transport.open("store1")
    assert await transport.check()
    accepted = box[0].log.count("Accepted publickey")
    words = [word for word in transport.shell_argv() if word != "-t"]
    done = await run(*words, "echo here")
    assert done.stdout == b"here\n"
    assert box[0].log.count("Accepted publickey") == accepted
    assert transport.control.stat().st_mode & 0o077 == 0
    await link.close()
    assert not await transport.check()


async def test_a_link_uses_the_connection_of_a_persons_login(box, to):
    transport = to()
    transport.control.parent.mkdir(mode=0o700, exist_ok=True)
    login = transport.login_argv()
    assert login is not None
    await asyncio.to_thread(subprocess.run, login, check=True, timeout=30, stdin=subprocess.DEVNULL)
    (box[0].folder / "authorized_keys").write_text("")  # from here on nobody gets in by a key
    try:
        link = await transport.open("store1")
        assert (await link.call("ping"))[0] == {}
        await link.close()
        assert await transport.check()
    finally:
        await run(*transport.logout_argv())
    assert (await refused(transport)).code == "login-refused"


async def test_a_forward_that_a_killed_controller_left_on_a_login_is_ended(box, to, monkeypatch):
    async def answer(reader, writer):
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    transport = to()
    transport.control.parent.mkdir(mode=0o700, exist_ok=True)
    await asyncio.to_thread(subprocess.run, transport.login_argv(), check=True, timeout=30, stdin=subprocess.DEVNULL)
    try:
        mine = await transport.forward(port)
        monkeypatch.setattr(forwards, "identity", lambda pid: "1.0")  # who noted the next one is no more
        left = await transport.forward(port)
        os.link(left, f"{left}.seen")
        assert await asyncio.to_thread(forwards.reap, transport.control.parent) == 1
        assert sorted(path.name for path in transport.control.parent.glob("f-*.to")) == [f"{Path(mine).name}.to"]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(f"{left}.seen")
        reader, _ = await asyncio.open_unix_connection(mine)
        assert await reader.read() == b""
        assert await transport.check(), "the login itself stays"
    finally:
        await run(*transport.logout_argv())
        server.close()


async def test_a_dead_socket_at_the_control_path_is_replaced(to):
    transport = to()
    link = await transport.open("store1")
    os.kill(link.pid, signal.SIGKILL)
    await link.wait_closed()
    assert transport.control.exists()
    again = await transport.open("store1")
    assert await transport.check()
    await again.close()


async def test_the_callers_agent_is_used(box, to, sandbox):
    agent = sandbox.runtime / "a"
    started = await run("ssh-agent", "-s", "-a", agent)
    pid = started.stdout.decode().partition("SSH_AGENT_PID=")[2].partition(";")[0]
    try:
        await run("ssh-add", "-q", box.folder / "identity", SSH_AUTH_SOCK=str(agent))
        lines = box.ssh_config.read_text().replace("IdentityAgent none", "").replace("IdentitiesOnly yes", "")
        config = sandbox.root / "agent_config"
        config.write_text(lines.replace(str(box.folder / "identity"), "/nowhere"))
        with_agent = Ssh("box1", control=sandbox.runtime / "c", config=str(config), agent=str(agent))
        await (await with_agent.open("store1")).close()
        without = Ssh("box1", control=sandbox.runtime / "c", config=str(config), agent="/nowhere")
        assert (await refused(without)).code == "login-refused"
    finally:
        await run("ssh-agent", "-k", SSH_AGENT_PID=pid)


LEAVE_A_LINK = """
import asyncio, os, signal, sys
from pathlib import Path
from afield.transport.ssh import Ssh
async def main():
    link = await Ssh("box1", control=Path(sys.argv[1]), config=sys.argv[2]).open("store1")
    os.kill(link.pid, signal.SIGSTOP)
    print(link.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_what_a_killed_controller_left_is_ended_by_the_next(box, to):
    transport = to()
    folder = transport.control.parent
    living = await transport.open("store1")
    assert reap.reap(folder) == 0
    await living.close()
    assert list(folder.glob("ssh-*")) == []
    done = await run(sys.executable, "-c", LEAVE_A_LINK, folder, box.ssh_config, check=False)
    left = int(done.stdout)
    assert identity(left), done.stderr
    assert reap.reap(folder) == 1
    os.kill(left, signal.SIGCONT)
    await gone(left)
    assert reap.reap(folder) == 0
    assert list(folder.glob("ssh-*")) == []


def test_targets_that_are_options_are_refused(tmp_path):
    for target in ("", "-oProxyCommand=evil"):
        with pytest.raises(UsageError):
            Ssh(target, control=tmp_path)


def test_a_control_folder_with_too_long_a_path_is_refused(tmp_path):
    with pytest.raises(UsageError, match="too long"):
        Ssh("box1", control=tmp_path / ("x" * 90))


async def test_without_ssh_the_error_names_the_package(to, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await refused(to())).code == "no-ssh"


# ---- homes and interpreters that do not serve: the fixed command in a namespace of its own


async def explain(failed: refusal.Failed) -> AfieldError:
    return await refusal.explain("box", None, failed)


async def begin(script: str, **variables: str) -> None:
    carrier = Carrier(["/bin/sh", "-c", script], {**os.environ, **variables})
    await (await start("box", "st", carrier, explain)).close()


@pytest.mark.parametrize(("options", "code"), [("size=8k", "home-full"), ("ro", "home-read-only")])
async def test_a_home_folder_that_does_not_serve(tmp_path, options, code):
    able = await run("unshare", "--user", "--map-root-user", "--mount", "true", check=False)
    if able.returncode:
        pytest.skip("this system gives no namespaces of one's own")
    inner = f'mount -t tmpfs -o {options} none {tmp_path} && HOME={tmp_path} exec /bin/sh -c "$COMMAND"'
    script = f"exec unshare --user --map-root-user --mount /bin/sh -c '{inner}'"
    with pytest.raises(Unreachable) as caught:
        await begin(script, COMMAND=COMMAND)
    assert caught.value.code == code, (caught.value.what, caught.value.why)
    assert caught.value.hints


async def test_a_home_folder_that_may_not_be_written(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(Unreachable) as caught:
        await begin(COMMAND, HOME=str(tmp_path / "home"))
    assert caught.value.code == "home-unwritable"


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [("", "no-python", "no python3"), ('[ "$1" = -V ] && echo Python 3.7.2 || exit 1', "python-too-old", "3.7.2")],
)
async def test_no_python_that_serves(tmp_path, script, code, said):
    if script:
        (tmp_path / "python3").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "python3").chmod(0o755)
    with pytest.raises(Unreachable) as caught:
        await begin(COMMAND, PATH=str(tmp_path), HOME=str(tmp_path))
    assert caught.value.code == code
    assert said in caught.value.why


def test_the_bundle_is_the_same_each_time():
    digest = bundle().digest
    bundle.cache_clear()
    assert bundle().digest == digest
