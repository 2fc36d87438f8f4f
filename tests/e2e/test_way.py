"""A node without internet builds its environment through us: one in a network namespace that has a loopback only."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from afield.testing.hosts import Hosts
from afield.testing.processes import command_line, end_all
from afield.testing.sandbox import Sandbox
from afield.testing.sshd import SESSIONS, find, free_port
from afield.testing.waiting import wait_until
from tests.e2e.environment_kit import wheel

ADDRESS = "127.0.9.1"
PROGRAM = "import pear; print(pear.VERSION)\n"


@dataclass
class Index:
    """A package index over TLS, and what it was asked for. A package comes to its half until it is `free`."""

    url: str
    asked: list[str]
    free: threading.Event


class Pages(SimpleHTTPRequestHandler):
    """Files of a folder; lists of files are the pages of a simple index."""

    asked: list[str]
    free: threading.Event

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(str(args[0]))

    def do_GET(self) -> None:
        if self.free.is_set() or not self.path.endswith(".whl"):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.free.wait(60)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index with one package, served at an address of the loopback that the namespace does not have."""
    folder = tmp_path / "index/simple/pear"
    folder.mkdir(parents=True)
    wheel(folder, "pear", "1.0")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=index"]
    extra = ["-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*words, *extra], check=True, capture_output=True)
    asked: list[str] = []
    free = threading.Event()
    free.set()
    handler = type("Asked", (Pages,), {"asked": asked, "free": free})
    server = ThreadingHTTPServer((ADDRESS, free_port(ADDRESS)), partial(handler, directory=str(tmp_path / "index")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Index(f"https://{ADDRESS}:{server.server_port}/simple/", asked, free)
    free.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with nothing but a loopback of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = f"afield-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this system makes no network namespace: {made.stderr.strip()}")
    subprocess.run(["ip", "netns", "exec", name, "ip", "link", "set", "lo", "up"], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@dataclass
class Lonely:
    """A sandbox with one node that reaches nothing, and the settings of that node's sshd."""

    sandbox: Sandbox
    home: Path
    sshd_config: Path
    namespace: str
    enter: Path = field(init=False)

    def __post_init__(self) -> None:
        self.enter = self.sshd_config.with_name("enter-namespace")
        self.come()

    def come(self) -> None:
        """It takes connections."""
        self.enter.write_text(f"#!/bin/sh\nexec ip netns exec {self.namespace} {find()} -i -f {self.sshd_config}\n")
        self.enter.chmod(0o755)

    def go_away(self) -> None:
        """Its connections break, and it takes no more."""
        self.enter.unlink()
        shown = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True)
        pids = set(map(int, shown.stdout.split()))
        assert end_all(lambda process: process.pid in pids and process.name in SESSIONS)

    def asks(self) -> dict[str, object]:
        """What its newest build last asked for."""
        found = sorted(self.home.glob(".afield/s/*/runs/*/stage/environment/asks.json"))
        return dict(json.loads(found[-1].read_text())) if found else {}


@pytest.fixture
def lonely(index: Index, namespace: str, needs_sshd: None) -> Iterator[Lonely]:
    with Hosts(count=1, users=True) as hosts:
        host = hosts[0]
        enter = f"    ProxyCommand {host.folder}/enter-namespace\n"
        hosts.ssh_config.write_text(hosts.ssh_config.read_text() + "Host box1\n" + enter)
        settings = host.home / ".config/uv/uv.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'allow-insecure-host = ["{ADDRESS}"]\npython-downloads = "never"\n')
        subprocess.run(["chown", "-R", f"{host.user.pw_uid}:{host.user.pw_gid}", host.home / ".config"], check=True)
        with Sandbox(hosts.ssh_config, {"UV_DEFAULT_INDEX": index.url}) as sandbox:
            (sandbox.project / "requirements.txt").write_text("pear\n")
            (sandbox.project / "train.py").write_text(PROGRAM)
            made = Lonely(sandbox, host.home, host.folder / "sshd_config", namespace)
            added = sandbox.afield("node", "add", "box1")
            assert added.returncode == 0, added.stderr
            yield made


def listening(namespace: str) -> list[str]:
    shown = subprocess.run(
        ["ip", "netns", "exec", namespace, "ss", "-Hltn"], capture_output=True, text=True, check=True
    )
    return shown.stdout.splitlines()


def test_packages_come_through_us_and_the_way_is_closed_afterwards(lonely: Lonely, index: Index) -> None:
    sandbox = lonely.sandbox
    done = sandbox.afield("run", "-n", "box1", "train.py")
    assert (done.returncode, done.stdout) == (0, b"1.0\n"), sandbox.story(done.stdout, done.stderr)
    assert any(".whl" in line for line in index.asked), index.asked
    wait_until(lambda: not listening(lonely.namespace), within_s=10, show=lambda: listening(lonely.namespace))
    assert not list(sandbox.runtime.rglob("*.way-*"))
    before = len(index.asked)
    again = sandbox.afield("run", "-q", "-n", "box1", "train.py")
    assert again.stdout == b"1.0\n"
    assert len(index.asked) == before, "a built environment asks nobody"


def test_a_host_that_is_no_index_is_not_reached(lonely: Lonely, index: Index, tmp_path: Path) -> None:
    page = tmp_path / "index/simple/fig/index.html"
    page.parent.mkdir()
    page.write_text('<a href="https://127.0.9.2:9/fig-1.0-py3-none-any.whl">fig-1.0-py3-none-any.whl</a>')
    (lonely.sandbox.project / "requirements.txt").write_text("pear\nfig\n")
    done = lonely.sandbox.afield("run", "-n", "box1", "train.py")
    assert done.returncode == 7, done.stderr
    assert b"the connection to your machine broke" not in done.stderr
    assert lonely.asks()["lost"] == 0, "what is refused is not tried again"
    log = (lonely.sandbox.state / "server.log").read_text()
    assert "a build asked for '127.0.9.2:9', which is no package index" in log
    wait_until(lambda: not listening(lonely.namespace), within_s=10, show=lambda: listening(lonely.namespace))


def test_without_forwarding_it_is_said(lonely: Lonely) -> None:
    lonely.sshd_config.write_text("AllowTcpForwarding no\n" + lonely.sshd_config.read_text())
    # The connection that is open was made under the old rules.
    lonely.sandbox.afield("node", "rm", "box1")
    assert lonely.sandbox.afield("node", "add", "box1").returncode == 0
    done = lonely.sandbox.afield("run", "-n", "box1", "train.py")
    assert done.returncode == 7
    assert b"there is no way through your machine" in done.stderr, done.stderr.decode()


@pytest.mark.parametrize("killed", [False, True], ids=["cut", "controller-killed"])
def test_a_build_that_lost_its_way_goes_on_with_the_next(lonely: Lonely, index: Index, killed: bool) -> None:
    sandbox = lonely.sandbox
    index.free.clear()
    with sandbox.start("run", "-n", "box1", "train.py") as run:
        wait_until(lambda: any(".whl" in line or "pear-" in line for line in index.asked), show=lambda: index.asked)
        lonely.go_away()
        wait_until(lambda: b"env waits: box1" in sandbox.afield("why", "1").stdout, within_s=30, every_s=0.5)
        wait_until(lambda: lonely.asks() == {**lonely.asks(), "lost": 1, "waits": True}, within_s=60, show=lonely.asks)
        if killed:
            servers = {process.pid for process in sandbox.processes() if "afield.server" in command_line(process)}
            assert end_all(lambda process: process.pid in servers)
        index.free.set()
        lonely.come()
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (0, b"1.0\n"), sandbox.story(out, err)
    assert killed or b"! env " in err, err.decode()
    job = json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]
    assert [a["outcome"] for a in job["attempts"]] == ["succeeded"]
    wait_until(lambda: not listening(lonely.namespace), within_s=10, show=lambda: listening(lonely.namespace))
