"""Downloads on a node: whole and checked, gone on from where they were cut, told when they cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

HANG_S = 120.0
DATA = os.urandom(1 << 20) * 20


class Web(ThreadingHTTPServer):
    """A server that hangs up after `cuts[i]` bytes of its i-th answer, and keeps the ranges it was asked for.

    With `stall` an answer stops after so many bytes, and hangs until `go`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.cuts: list[int] = []
        self.stall = 0
        self.go = threading.Event()
        self.ranges: list[str | None] = []
        self.tag = '"one"'
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.ranges.append(self.headers.get("Range"))
            cut = self.server.cuts.pop(0) if self.server.cuts else len(DATA)
        if self.path == "/none":
            self.send_error(404)
            return
        asked, start = self.headers.get("Range"), 0
        if asked and self.headers.get("If-Range") == self.server.tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(DATA):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("Content-Length", str(len(DATA) - start))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        if self.server.stall:
            self.wfile.write(DATA[start : start + self.server.stall])
            self.server.go.wait(HANG_S)
            return
        self.wfile.write(DATA[start : start + cut])

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(sandbox: Sandbox, *words: str) -> list[dict[str, object]]:
    done = sandbox.afield("fetch", *words, "--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    rows: list[dict[str, object]] = json.loads(done.stdout)["fetched"]
    return rows


def test_two_addresses_land_in_data_and_are_not_fetched_again(web: Web, sandbox: Sandbox, host: Host) -> None:
    words = (f"{web.url}/a.bin", f"{web.url}/sub/b%20c.bin?x=1")
    rows = fetched(sandbox, *words)
    assert [row["sha256"] for row in rows] == [hashlib.sha256(DATA).hexdigest()] * 2
    listed = sandbox.afield("ls", f"{host.name}:data").stdout.decode()
    assert [line.split("  ")[-1] for line in listed.splitlines()] == ["a.bin", "b c.bin"]
    assert [row["there"] for row in fetched(sandbox, *words)] == [True, True]


def test_a_cut_download_goes_on_where_it_was(web: Web, sandbox: Sandbox, host: Host) -> None:
    web.cuts = [5 << 20, 6 << 20]
    row = fetched(sandbox, f"{web.url}/a.bin", "--to", f"{host.name}:deep/er")[0]
    assert web.ranges == [None, f"bytes={5 << 20}-", f"bytes={11 << 20}-"]
    assert row["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert len(sandbox.afield("ls", "-R", f"{host.name}:deep").stdout.splitlines()) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_one_that_was_interrupted_here_says_so_and_goes_on_where_it_was(
    count: int, web: Web, sandbox: Sandbox, hosts: Hosts, host: Host
) -> None:
    web.stall = 5 << 20
    chosen = list(hosts)[:count]
    for other in chosen[1:]:
        assert sandbox.afield("node", "add", other.name).returncode == 0
    words = ("fetch", f"{web.url}/a.bin", "-n", ",".join(each.name for each in chosen))
    with sandbox.start(*words) as command:
        try:
            wait_until(lambda: min(map(_unfinished, chosen)) >= web.stall, within_s=60, show=sandbox.story)
        finally:
            command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=HANG_S / 2)
    assert (command.returncode, out) == (130, b"")
    assert err.splitlines()[-1] == b"interrupted; the same command goes on where it was"
    web.stall = 0
    web.go.set()
    assert [row["sha256"] for row in fetched(sandbox, *words[1:])] == [hashlib.sha256(DATA).hexdigest()] * count
    assert web.ranges == [None] * count + [f"bytes={5 << 20}-"] * count


def _unfinished(host: Host) -> int:
    """How much of the download lies on the host."""
    return max((p.stat().st_size for p in host.home.glob(".afield/s/*/home/*/data/.a.bin.*.afpart")), default=0)


def test_one_that_was_whole_but_had_no_name_yet(web: Web, sandbox: Sandbox, host: Host) -> None:
    web.cuts = [len(DATA) - 1, *[0] * 9]
    assert sandbox.afield("fetch", f"{web.url}/a.bin").returncode == 1
    part = next(host.home.glob(".afield/s/*/home/*/data/.a.bin.*[0-9a-f].afpart"))
    with part.open("ab") as file:
        file.write(DATA[-1:])
    web.cuts = []
    assert fetched(sandbox, f"{web.url}/a.bin")[0]["sha256"] == hashlib.sha256(DATA).hexdigest()


def test_a_file_that_changed_meanwhile_begins_again(web: Web, sandbox: Sandbox, host: Host) -> None:
    web.cuts = [5 << 20, *[0] * 5]
    done = sandbox.afield("fetch", f"{web.url}/a.bin")
    assert done.returncode == 1, done.stderr
    assert b"ended after" in done.stderr
    assert sandbox.afield("ls", f"{host.name}:data").stdout == b""
    web.tag, web.cuts = '"two"', []
    assert fetched(sandbox, f"{web.url}/a.bin")[0]["size"] == len(DATA)
    assert web.ranges[-1] == f"bytes={5 << 20}-"


def test_another_sum_is_refused_and_leaves_nothing(web: Web, sandbox: Sandbox, host: Host) -> None:
    right, wrong = hashlib.sha256(DATA).hexdigest(), "0" * 64
    done = sandbox.afield("fetch", f"{web.url}/a.bin", "--sha256", wrong)
    assert done.returncode == 1
    assert right.encode() in done.stderr
    assert sandbox.afield("ls", f"{host.name}:data").stdout == b""
    assert fetched(sandbox, f"{web.url}/a.bin", "--sha256", right.upper())[0]["there"] is False
    before = len(web.ranges)
    assert fetched(sandbox, f"{web.url}/a.bin", "--sha256", right)[0]["there"] is True
    assert len(web.ranges) == before


def test_what_cannot_be_had_is_told(web: Web, sandbox: Sandbox, host: Host) -> None:
    for words, status, told in (
        ((f"{web.url}/none",), 1, b"404"),
        (("file:///etc/passwd",), 2, b"not an address"),
        ((f"{web.url}/a", f"{web.url}/b", "--sha256", "0" * 64), 2, b"one file"),
        ((f"{web.url}/a", "--sha256", "xyz"), 2, b"sha256"),
    ):
        done = sandbox.afield("fetch", *words)
        assert (done.returncode, told in done.stderr) == (status, True), (words, done.stderr)
