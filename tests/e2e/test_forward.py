"""Ports of real hosts on this machine: by node and by job, through cuts and kills, and gone with who asked for them."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

SERVE = """
import http.server, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
"""


@pytest.fixture
def host(host: Host, sandbox: Sandbox) -> Host:
    """The node, and a program to serve from in the project."""
    (sandbox.project / "serve.py").write_text(SERVE)
    return host


@pytest.fixture(autouse=True)
def revived(hosts: Hosts) -> Iterator[None]:
    """The hosts are up again for the next test."""
    yield
    for host in hosts:
        if not host.up:
            host.start()


class Held:
    """A running `afield forward --json`: its news, in order."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.told: list[dict[str, object]] = []
        self._news: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._news.put(json.loads(line))
        self._news.put(None)

    def end(self) -> None:
        """Kills it; what it told last has been read then."""
        self.process.kill()
        self._reader.join(40)

    def until(self, on: str | None, **fields: object) -> dict[str, object]:
        """The next news of this kind; None is an error."""
        while True:
            try:
                news = self._news.get(timeout=40)
            except queue.Empty:
                raise AssertionError(f"no {on} {fields}; told: {self.told}") from None
            assert news is not None, f"it ended without {on}; told: {self.told}"
            self.told.append(news)
            if news.get("on") == on and fields.items() <= news.items():
                return news


@contextmanager
def held(sandbox: Sandbox, *words: str) -> Iterator[Held]:
    """`afield forward --json` of these words, ended with the block."""
    with sandbox.start("forward", *words, "--json") as process:
        holding = Held(process)
        try:
            yield holding
        finally:
            holding.end()


def port_of(news: dict[str, object], place: int) -> int:
    """The port here that an `open` names."""
    ports = news["ports"]
    assert isinstance(ports, dict)
    return int(ports[str(place)])


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


def fetched(port: int) -> bytes:
    """What the page at a port here says; b"" when there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def serving(sandbox: Sandbox, host: Host, port: int, text: str) -> str:
    """A job on the host that serves a text; its number."""
    done = sandbox.afield("run", "-d", "-n", host.name, "serve.py", str(port), text)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def ways(sandbox: Sandbox) -> list[Path]:
    """The sockets and notes of forwards in the runtime folder."""
    return sorted((sandbox.runtime / "afield").glob("f-*"))


def server_pid(sandbox: Sandbox) -> int:
    return int(json.loads((sandbox.state / "server.lock").read_text())["pid"])


def test_a_port_of_a_job_is_here_until_ctrl_c(sandbox: Sandbox, host: Host) -> None:
    far, near = free_port(), free_port()
    job = serving(sandbox, host, far, "from the job")
    with held(sandbox, job, f"{near}:{far}") as forward:
        assert port_of(forward.until("open", node=host.name), far) == near
        forward.until("listens", yes=True)
        assert fetched(near) == b"from the job"
        forward.process.send_signal(signal.SIGINT)
        assert forward.process.wait(20) == 0
    assert fetched(near) == b""
    wait_until(lambda: not ways(sandbox))
    assert fetched(far) == b"from the job", "the job itself must not notice"
    sandbox.afield("stop", job)


def test_people_read_addresses_on_stdout_and_news_on_stderr(sandbox: Sandbox, host: Host) -> None:
    far, near = free_port(), free_port()
    with sandbox.start("forward", f"node:{host.name}", f"{near}:{far}") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().decode() == f"127.0.0.1:{near} → {host.name}:{far}\n"
        talk = iter(process.stderr.readline, b"")
        assert (
            next(line for line in talk if b"yet" in line)
            == f"nothing listens at port {far} of {host.name} yet\n".encode()
        )
        job = serving(sandbox, host, far, "late")
        assert b"something listens" in next(talk)
        assert fetched(near) == b"late"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    sandbox.afield("stop", job)


def test_a_taken_port_gives_way_and_a_named_one_is_an_error(sandbox: Sandbox, host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with held(sandbox, f"node:{host.name}", str(port)) as forward:
            assert port_of(forward.until("open"), port) != port
        done = sandbox.afield("forward", f"node:{host.name}", f"{port}:{port}")
        assert done.returncode == 2
        assert f"port {port} is taken here" in done.stderr.decode()
        assert "try: 0:PORT takes a free one" in done.stderr.decode()
    wait_until(lambda: not ways(sandbox))


def test_a_cut_connection_comes_back_under_the_same_port(sandbox: Sandbox, host: Host) -> None:
    far = free_port()
    job = serving(sandbox, host, far, "still here")
    with held(sandbox, job, f"0:{far}") as forward:
        near = port_of(forward.until("open"), far)
        forward.until("listens", yes=True)
        assert fetched(near) == b"still here"
        host.stop()
        forward.until("cut", node=host.name)
        host.start()
        assert port_of(forward.until("open"), far) == near
        assert fetched(near) == b"still here"
        assert len(ways(sandbox)) == 2, "what the lost connection had is gone"
    sandbox.afield("stop", job)


def test_a_killed_caller_leaves_nothing(sandbox: Sandbox, host: Host) -> None:
    with held(sandbox, f"node:{host.name}", f"0:{free_port()}") as forward:
        forward.until("open")
        assert len(ways(sandbox)) == 2
        forward.process.kill()
        forward.process.wait()
        wait_until(lambda: not ways(sandbox))


def test_a_killed_controller_leaves_nothing_and_the_forward_goes_on(sandbox: Sandbox, host: Host) -> None:
    far = free_port()
    job = serving(sandbox, host, far, "after all")
    with held(sandbox, job, f"0:{far}") as forward:
        near = port_of(forward.until("open"), far)
        forward.until("listens", yes=True)
        before = ways(sandbox)
        os.kill(server_pid(sandbox), signal.SIGKILL)
        forward.until("cut")
        forward.until("open")
        assert fetched(near) == b"after all"
        assert not set(before) & set(ways(sandbox))
    sandbox.afield("stop", job)


def test_the_end_of_the_job_ends_the_forward(sandbox: Sandbox, host: Host) -> None:
    far = free_port()
    job = serving(sandbox, host, far, "soon over")
    with held(sandbox, job, f"0:{far}") as forward:
        forward.until("open")
        sandbox.afield("stop", job)
        end = forward.until("end")
        assert isinstance(end["job"], dict)
        assert end["job"]["outcome"] == "stopped"
        assert forward.process.wait(20) == 0
    done = sandbox.afield("forward", job, str(far))
    assert done.returncode == 3
    assert f"job {job} runs no more" in done.stderr.decode()
    assert f"afield forward node:{host.name} PORT" in done.stderr.decode()


def test_a_job_that_waits_is_waited_for(sandbox: Sandbox) -> None:
    assert sandbox.afield("node", "set", "local", "devices=1:toy").returncode == 0
    first, second = (
        sandbox.afield("run", "-d", "--request", "[toy]", "--", "sleep", "600").stdout.decode().strip()
        for _ in range(2)
    )
    with held(sandbox, second, "0:9") as forward:
        assert forward.until("waiting")["why"] == f"job {second} is queued: waits for 1 toy, held by job {first}"
        sandbox.afield("stop", first)
        assert forward.until("open")["node"] == "local"
    sandbox.afield("stop", second)


def test_a_node_that_is_removed_ends_the_forward(sandbox: Sandbox, hosts: Hosts) -> None:
    assert sandbox.afield("node", "add", hosts[1].name).returncode == 0
    with held(sandbox, f"node:{hosts[1].name}", "0:9") as forward:
        forward.until("open")
        assert sandbox.afield("node", "rm", hosts[1].name).returncode == 0
        error = forward.until(None)["error"]
        assert isinstance(error, dict)
        assert error["what"] == f"node {hosts[1].name} was removed"
        assert forward.process.wait(30) == 3
    wait_until(lambda: not ways(sandbox))


def test_a_server_that_forwards_nothing_is_named(sandbox: Sandbox, host: Host) -> None:
    config = host.folder / "sshd_config"
    before = config.read_text()
    config.write_text("AllowTcpForwarding no\n" + before)
    host.restart()
    try:
        far = free_port()
        job = serving(sandbox, host, far, "not to be seen")
        with held(sandbox, job, f"0:{far}") as forward:
            near = port_of(forward.until("open"), far)
            forward.until("listens", yes=True)
            for _ in range(10):  # as somebody does who loads a page again and again
                assert fetched(near) == b""
            assert forward.until("refused")["node"] == host.name
        sandbox.afield("stop", job)
    finally:
        config.write_text(before)
        host.restart()


def test_each_process_of_a_job_has_its_own_node(sandbox: Sandbox, hosts: Hosts, host: Host) -> None:
    assert sandbox.afield("node", "add", hosts[1].name).returncode == 0
    for name in (hosts[0].name, hosts[1].name):
        assert sandbox.afield("node", "set", name, "devices=1:toy").returncode == 0
    done = sandbox.afield("run", "-d", "--request", "2:[toy]", "--", "sleep", "600")
    job = done.stdout.decode().strip()
    wait_until(lambda: b'"phase": "running"' in sandbox.afield("show", job, "--json").stdout)
    nodes = json.loads(sandbox.afield("show", job, "--json").stdout)["job"]["nodes"]
    for process in (0, 1):
        with held(sandbox, f"{job}:{process}", "0:9") as forward:
            assert forward.until("open")["node"] == nodes[process]
    done = sandbox.afield("forward", f"{job}:2", "9")
    assert done.returncode == 3
    assert b"has no process 2" in done.stderr
    sandbox.afield("stop", job)


def test_on_this_machine_a_port_is_where_it_is(sandbox: Sandbox) -> None:
    (sandbox.project / "serve.py").write_text(SERVE)
    far, near = free_port(), free_port()
    job = sandbox.afield("run", "-d", "-n", "local", "serve.py", str(far), "here").stdout.decode().strip()
    with held(sandbox, job, str(far)) as forward:
        assert port_of(forward.until("open"), far) == far
        forward.until("listens", yes=True)
        assert fetched(far) == b"here"
    with held(sandbox, job, f"{near}:{far}") as forward:
        forward.until("open")
        assert fetched(near) == b"here"
    sandbox.afield("stop", job)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("7", "6006"), 3, "there is no job 7"),
        (("node:nobody", "6006"), 3, "there is no node nobody"),
        (("node:local", "70000"), 2, "'70000' is no port"),
        (("node:local", "x:y"), 2, "'x:y' is no port"),
        (("node:local", "1:2", "3:2"), 2, "the same port is named twice"),
        (("node:local",), 2, "say which port of node:local"),
        (("1:2:3", "4"), 2, "'1:2:3' names nothing to forward to"),
    ],
)
def test_what_cannot_be_forwarded_is_said(words: tuple[str, ...], status: int, said: str, sandbox: Sandbox) -> None:
    done = sandbox.afield("forward", *words)
    assert (done.returncode, said in done.stderr.decode()) == (status, True), done.stderr


PAGE = """
import http.server, json, os, socket, socketserver, sys
place = os.environ["JOB_DIR"] + "/s"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("local", 0)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"attempt " + os.environ["AFIELD_ATTEMPT"].encode())
attempt = int(os.environ["AFIELD_ATTEMPT"])
offer = {"name": "jupyter", "place": place, "port": 0, "path": "?token=%d" % attempt, "ready": "", "attempt": attempt}
server = Server(place, Page)
with open(os.environ["JOB_DIR"] + "/offer.json", "w") as file:
    json.dump(offer, file)
server.serve_forever()
"""


def test_a_page_is_followed_to_the_next_attempt(sandbox: Sandbox, host: Host) -> None:
    """With a page of our own, which needs nothing installed."""
    (sandbox.project / "page.py").write_text(PAGE)
    job = sandbox.afield("run", "-d", "-n", host.name, "--policy", "rerun", "page.py").stdout.decode().strip()
    wait_until(lambda: sandbox.afield("cat", f"{job}:offer.json").returncode == 0, within_s=60, every_s=0.5)
    with sandbox.start("forward", job) as forward:
        assert forward.stdout is not None
        first = forward.stdout.readline().decode().split()[1]
        assert first.endswith("?token=1")
        assert read(first) == b"attempt 1"
        host.reboot()
        second = forward.stdout.readline().decode().split()[1]
        assert second == first.replace("token=1", "token=2"), "the same port, another token"
        wait_until(lambda: read(second) == b"attempt 2")
        forward.send_signal(signal.SIGINT)
        _, err = forward.communicate(timeout=30)
    assert forward.returncode == 0, err
    assert b"attempt 2 of the job is on" in err, err.decode()
    sandbox.afield("stop", job)


def read(url: str) -> bytes:
    """What a page says; b"" when it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
