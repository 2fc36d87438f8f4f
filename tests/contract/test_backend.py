"""What every backend keeps to: asking twice makes one, giving back twice does no harm, a node can be reached."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from afield.backends.fake import FakeBackend
from afield.backends.local import LocalBackend
from afield.backends.port import Backend
from afield.backends.ssh import SshBackend
from afield.model.ids import NodeName
from afield.model.node import Node
from afield.model.request import parse


@pytest.fixture(params=["fake", "local", "ssh"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made: dict[str, Backend] = {
        "fake": FakeBackend(tmp_path / "fake"),
        "local": LocalBackend(),
        "ssh": SshBackend(tmp_path / "control", None),
    }
    return made[request.param]


def test_asking_twice_makes_one(backend: Backend) -> None:
    async def work() -> None:
        before = await backend.observe()
        await backend.acquire(parse("2:[]"), "7")
        once = await backend.observe()
        await backend.acquire(parse("2:[]"), "7")
        assert await backend.observe() == once
        assert len(once) - len(before) == (2 if backend.abilities.elastic else 0)
        assert len({f.slice for f in once}) == (1 if backend.abilities.elastic else 0)

    anyio.run(work)


def test_giving_back_twice_does_no_harm(backend: Backend) -> None:
    async def work() -> None:
        await backend.acquire(parse("[]"), "7")
        for slice in {f.slice for f in await backend.observe()}:
            await backend.release(slice)
            await backend.release(slice)
        assert await backend.observe() == []

    anyio.run(work)


def test_a_fake_node_runs_commands_in_a_home_of_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        fake = FakeBackend(tmp_path)
        await fake.acquire(parse("[]"), "7")
        (found,) = await fake.observe()
        node = Node(NodeName(found.name), "fake", target=found.target, slice=found.slice)
        link = await fake.transport(node).open("0" * 16)
        try:
            out = b"".join(
                [data async for _, data in link.stream("exec", argv=["sh", "-c", "echo $HOME"], variables={})]
            )
            assert out.decode().strip() == found.target
        finally:
            await link.close()

    anyio.run(work)
