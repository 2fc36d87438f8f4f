"""What a start asks of a node, counted on the link of a real controller: one request where the node has everything."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from afield.controller.core import Controller
from afield.controller.make import make
from afield.model.event import AttemptAcked
from afield.sdk.client import submit_key
from afield.testing.hosts import Host, Hosts
from afield.testing.processes import command_line, end_all
from afield.testing.sandbox import Sandbox
from afield.transport.link import Link

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def built(sandbox: Sandbox, host: Host) -> Sandbox:
    """A sandbox without its server, whose host has the code and the environment of job 1."""
    (sandbox.project / "train.py").write_text("import sys; print(sys.prefix)\n")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    done = sandbox.afield("run", "-n", host.name, "--python", version, "train.py")
    assert done.returncode == 0, sandbox.story(done.stdout, done.stderr)
    assert b"/env/" in done.stdout, "it has an environment of its own"
    servers = {process.pid for process in sandbox.processes() if "afield.server" in command_line(process)}
    assert end_all(lambda process: process.pid in servers)
    return sandbox


async def until(controller: Controller, number: int) -> dict[str, Any]:
    """The job when it has ended."""
    view: dict[str, Any] = {}
    async with asyncio.timeout(30):
        async for head, _ in controller.follow(number, {}):
            view = head.get("job", view)
    return view


async def acknowledged(controller: Controller, number: int) -> None:
    """Returns once the node was told that the end of a job is known here."""
    async with asyncio.timeout(30):
        async for record in controller.events(0):
            if isinstance(record.event, AttemptAcked) and record.event.attempt.job == number:
                return


async def test_a_start_whose_environment_is_ready_is_one_request(
    built: Sandbox, hosts: Hosts, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in built.env.items():
        monkeypatch.setenv(name, value)
    asked: list[str] = []
    ask = Link._ask

    async def counted(link: Link, do: str, data: bytes, fields: dict[str, Any]) -> Any:
        asked.append(do)
        return await ask(link, do, data, fields)

    monkeypatch.setattr(Link, "_ask", counted)
    controller = make(built.state, built.cache, Path(built.runtime, "afield"), str(hosts.ssh_config))
    await controller.start()
    try:
        for _ in ("while the connection is new", "later"):
            asked.clear()
            again = replace(controller.submission(1), key=submit_key())
            view = await until(controller, (await controller.submit([again]))[0]["number"])
            assert view["outcome"] == "succeeded", view
            await acknowledged(controller, view["number"])
        assert (asked[0], asked.count("launch")) == ("launch", 1), asked
        assert "environment.way" not in asked
    finally:
        await controller.close()
