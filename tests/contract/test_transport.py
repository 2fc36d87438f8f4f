"""What every transport keeps: the same link whether the node is this machine or a real ssh host."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from afield.errors import AfieldError, Unreachable
from afield.runner import wire
from afield.testing.processes import identity
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from afield.transport import link as link_module
from afield.transport.bundle import bundle
from afield.transport.local import Local
from afield.transport.port import Transport
from afield.transport.ssh import Ssh

pytestmark = pytest.mark.anyio
KINDS = ("local", "ssh")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@dataclass
class Way:
    """A transport and the home folder that it leads to."""

    transport: Transport
    home: Path


@pytest.fixture(params=KINDS)
def way(request, sandbox):
    if request.param == "local":
        return Way(Local(sandbox.env), sandbox.home)
    hosts = request.getfixturevalue("hosts")
    return Way(Ssh("box1", control=sandbox.runtime / "c", config=str(hosts.ssh_config)), hosts[0].home)


@pytest.fixture
async def link(way):
    opened = await way.transport.open("store1")
    yield opened
    await opened.close()


async def test_the_node_says_hello_with_what_does_not_change(way, link):
    assert link.hello["version"] == bundle().digest
    assert link.hello["home"] == str(way.home)
    assert link.hello["root"] == f"{way.home}/.afield"
    assert (await link.call("hello"))[0] == {k: v for k, v in link.hello.items() if k != "on"}


async def test_a_second_link_finds_the_runner_there(way, link):
    code = way.home / ".afield" / "r" / bundle().digest
    before = code.stat().st_mtime_ns
    again = await way.transport.open("store1")
    assert (await again.call("ping"))[0] == {}
    await again.close()
    assert code.stat().st_mtime_ns == before
    assert (await link.call("ping"))[0] == {}


async def test_exec_gives_streams_and_status(link):
    script = "printf out; printf err >&2; exit 7"
    streams = {"out": b"", "err": b""}
    async for head, data in link.stream("exec", argv=["sh", "-c", script]):
        if head.get("more"):
            streams[head["stream"]] += data
    assert streams == {"out": b"out", "err": b"err"}
    assert (head["code"], head["signal"]) == (7, None)


async def test_exec_hands_over_words_variables_folder_and_input_untouched(way, link):
    (way.home / "a b").mkdir(mode=0o777, exist_ok=True)
    words = ["", "a b", "$HOME", "'\"\\", "é", os.fsdecode(b"\xff"), "-x"]
    script = 'cat; pwd; echo "$V"; printf "%s|" "$@"'
    argv = ["sh", "-c", script, "sh", *words]
    _, out = await link.call("exec", b"\0in\n", argv=argv, variables={"V": "a  b"}, cwd="a b")
    said = "\n".join([f"{way.home}/a b", "a  b", "".join(f"{word}|" for word in words)])
    assert out == b"\0in\n" + os.fsencode(said)


async def test_exec_hides_what_is_meant_for_ssh_and_the_runner(link):
    _, out = await link.call("exec", argv=["env"])
    names = {line.partition(b"=")[0].decode() for line in out.splitlines()}
    assert not {name for name in names if name.startswith(("SSH_", "AFIELD_"))}
    assert {"HOME", "PATH"} <= names


async def test_exec_of_nothing_that_exists_is_status_127(link):
    head, said = await link.call("exec", argv=["/no/such/program"])
    assert head["code"] == 127
    assert b"no/such/program" in said


async def test_a_signal_is_told_apart_from_a_status(link):
    head, _ = await link.call("exec", argv=["sh", "-c", "kill -9 $$"])
    assert (head["code"], head["signal"]) == (None, signal.SIGKILL)


async def test_leaving_a_stream_ends_the_command(link):
    stream = link.stream("exec", argv=["sh", "-c", "echo $$; exec sleep 600"])
    _, data = await anext(stream)
    await stream.aclose()
    await until_gone(int(data))


async def test_commands_end_with_the_link(way):
    link = await way.transport.open("store1")
    stream = link.stream("exec", argv=["sh", "-c", "trap '' TERM HUP; echo $$; sleep 600; sleep 600"])
    _, data = await anext(stream)
    await link.close()
    await until_gone(int(data))
    with pytest.raises(Unreachable):
        await anext(stream)


async def test_a_slow_reader_of_one_command_stops_nobody_else(link):
    flood = link.stream("exec", argv=["sh", "-c", "exec cat /dev/zero"])
    await anext(flood)
    for _ in range(20):
        await link.call("ping", within=10)
    head, out = await link.call("exec", argv=["echo", "hello"], within=10)
    assert (head["code"], out) == (0, b"hello\n")
    await flood.aclose()


async def test_a_hanging_command_delays_no_other_request(link):
    hanging = asyncio.create_task(link.call("exec", argv=["sleep", "600"]))
    assert "cpu" in (await link.call("probe", within=30))[0]
    assert (await link.call("ping", within=10))[0] == {}
    hanging.cancel()


async def test_large_data_passes_both_ways(link):
    data = os.urandom(20_000_000)
    _, back = await link.call("exec", data, argv=["cat"])
    assert back == data


async def test_many_requests_at_once_get_their_own_answers(link):
    replies = await asyncio.gather(*(link.call("exec", argv=["echo", str(n)]) for n in range(60)))
    assert [out for _, out in replies] == [b"%d\n" % n for n in range(60)]


@pytest.mark.parametrize(
    ("do", "fields", "code"),
    [
        ("no-such-verb", {}, "unknown-verb"),
        ("facts", {}, "bad-request"),
        ("facts", {"attempt": "../1.1"}, "bad-request"),
        ("exec", {"argv": 5}, "bad-request"),
        ("read", {"attempt": "1.1", "kind": "run", "path": "none", "offset": 0, "length": 1}, "not-found"),
        ("data.list", {"path": "/nowhere", "deep": True}, "not-found"),
    ],
)
async def test_a_bad_request_is_an_error_and_not_the_end(link, do, fields, code):
    with pytest.raises(AfieldError) as caught:
        await link.call(do, **fields)
    assert caught.value.code == code
    assert (await link.call("ping"))[0] == {}


async def test_a_closed_link_fails_what_waits_and_what_comes(link):
    waiting = asyncio.create_task(link.call("exec", argv=["sleep", "600"]))
    await link.call("ping")
    await link.close()
    assert await link.wait_closed() == "closed"
    for request in (waiting, link.call("ping")):
        with pytest.raises(Unreachable):
            await request


async def test_a_killed_carrier_closes_the_link_with_a_reason(link):
    os.kill(link.pid, signal.SIGKILL)
    assert await asyncio.wait_for(link.wait_closed(), 20)
    with pytest.raises(Unreachable):
        await link.call("ping")


async def test_a_silent_link_is_closed(way, monkeypatch):
    monkeypatch.setattr(link_module, "PING_S", 0.2)
    monkeypatch.setattr(link_module, "SILENT_S", 1.0)
    link = await way.transport.open("store1")
    os.kill(link.pid, signal.SIGSTOP)
    try:
        assert await asyncio.wait_for(link.wait_closed(), 20) == "silent"
    finally:
        os.kill(link.pid, signal.SIGCONT)
        await link.close()


async def test_an_answer_that_never_comes_has_a_deadline(link):
    with pytest.raises(Unreachable) as caught:
        await link.call("exec", argv=["sleep", "600"], within=0.1)
    assert caught.value.code == "silent"
    assert (await link.call("ping"))[0] == {}


async def test_a_request_cut_off_while_it_is_sent_leaves_the_frames_whole(link):
    # More than socket buffers hold: part of it is still on our side when the caller goes.
    sending = asyncio.create_task(link.call("exec", os.urandom(30_000_000), argv=["wc", "-c"]))
    await asyncio.sleep(0)
    sending.cancel()
    assert (await link.call("exec", argv=["echo", "whole"]))[1] == b"whole\n"


async def test_a_paused_link_takes_nothing_and_goes_on(link):
    link.pause()
    asked = asyncio.create_task(link.call("ping"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asked), 0.2)
    link.resume()
    assert (await asyncio.wait_for(asked, 10))[0] == {}


async def test_links_need_no_threads(way):
    before = set(threading.enumerate())
    links = [await way.transport.open("store1") for _ in range(3)]
    assert set(threading.enumerate()) == before
    for link in links:
        await link.close()


async def test_argv_for_people_are_words(way):
    assert all(isinstance(word, str) for word in way.transport.shell_argv())
    login = way.transport.login_argv()
    assert login is None or login[0] == "ssh"


async def test_a_node_that_sends_nonsense_loses_its_link(link):
    # As a background process of the login's start files would, in between our frames.
    link._feed(b"\xff" * wire._LENGTHS.size)
    assert (await link.wait_closed()).startswith("the node sent nonsense")


async def until_gone(pid: int) -> None:
    await asyncio.to_thread(wait_until, lambda: not identity(pid))


def test_two_stores_do_not_share_a_folder(sandbox: Sandbox):
    async def both():
        for store in ("one", "two"):
            await (await Local(sandbox.env).open(store)).close()

    asyncio.run(both())
    assert sorted(path.name for path in (sandbox.home / ".afield" / "s").iterdir()) == ["one", "two"]


async def test_a_socket_of_ours_is_lent_and_taken_back(way, link, tmp_path):
    async def answer(reader, writer):
        writer.write(b"from here")
        writer.close()

    path = tmp_path / "s"
    server = await asyncio.start_unix_server(answer, path)
    if way.transport.name == "local":
        with pytest.raises(Unreachable) as caught:
            await way.transport.lend(path)
        assert caught.value.code == "no-forward"
        return
    port = await way.transport.lend(path)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b"from here"
    writer.close()
    await way.transport.take_back(path)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(Unreachable):
        await way.transport.take_back(path)
    server.close()
    await link.close()
    with pytest.raises(Unreachable):
        await way.transport.lend(path)


@pytest.mark.parametrize("kind", ["port", "socket"])
async def test_a_port_and_a_socket_of_the_node_are_reached_from_here(kind, way, link):
    async def answer(reader, writer):
        writer.write(b"from there")
        writer.close()

    if kind == "port":
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        to = str(server.sockets[0].getsockname()[1])
    else:
        to = str(way.home / "s")
        server = await asyncio.start_unix_server(answer, to)
        os.chmod(to, 0o777)
    reply, _ = await link.call("listens", places=[to, "1", "/nowhere"])
    assert reply["listens"] == [True, False, False]
    at = await way.transport.forward(to)
    if way.transport.name == "local":
        assert at == to
    else:
        assert stat.S_IMODE(os.stat(at).st_mode) == 0o600
        reader, writer = await asyncio.open_unix_connection(at)
        assert await reader.read() == b"from there"
        writer.close()
        await way.transport.end_forward(at, to)
        await link.close()
        with pytest.raises(Unreachable):
            await way.transport.forward(to)
        assert not list(Path(at).parent.glob("f-*")), "sockets and notes are gone"
    server.close()
    (way.home / "s").unlink(missing_ok=True)
