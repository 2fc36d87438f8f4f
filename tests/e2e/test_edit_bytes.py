"""What an edit costs on the wire: the bytes that really pass between us and a host, counted on the way."""

from __future__ import annotations

import os
from pathlib import Path

from afield.testing.hosts import Host, Hosts
from afield.testing.proxy import Proxy
from afield.testing.sandbox import Sandbox

FILES = 400
SIZE = 52 * 1024
"""Of each file, of bytes that cannot be made smaller: more than 20 MB in all."""

SMALL = 64 * 1024


def make(project: Path) -> None:
    for number in range(FILES):
        folder = project / f"part{number % 20}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{number}.bin").write_bytes(os.urandom(SIZE))
    (project / "main.py").write_text("print('one')\n")


def test_an_edit_sends_about_one_file_and_no_edit_sends_no_code(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    make(sandbox.project)
    with Proxy(host.address, host.port) as proxy:
        hosts.route(host.name, proxy.address, proxy.port)
        try:
            host.cut()  # the next connection goes through the proxy
            said, first = [], []
            for text in ("one", "two", "two"):
                (sandbox.project / "main.py").write_text(f"print({text!r})\n")
                before = proxy.passed()[1]
                done = sandbox.afield("run", "-n", host.name, "--environment", "none", "main.py")
                assert done.returncode == 0, (done.stderr, sandbox.story())
                said.append(done.stdout)
                first.append(proxy.passed()[1] - before)
        finally:
            hosts.route(host.name, host.address, host.port)
            host.cut()
    assert said == [b"one\n", b"two\n", b"two\n"]
    whole, edited, same = first
    assert whole > FILES * SIZE > 20_000_000
    assert edited < SMALL, (whole, edited, same)
    assert same < SMALL, (whole, edited, same)
