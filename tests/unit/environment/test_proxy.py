"""The proxy lets through who knows its token, to the hosts it was given, while it is open: and nobody else."""

from __future__ import annotations

import asyncio
import base64
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from afield.environment import indexes
from afield.environment.proxy import Proxy
from afield.environment.tree import hosts_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says everything again, to the end."""

    async def again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.write(b"end")
        writer.close()

    server = await asyncio.start_server(again, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def proxy(tmp_path: Path, echo: int) -> AsyncIterator[Proxy]:
    made = Proxy(frozenset({("127.0.0.1", echo)}))
    await made.start(tmp_path / "p")
    yield made
    await made.close()


async def ask(path: Path, first: str, *, token: str = "", data: bytes = b"") -> bytes:
    """All that comes back for one request and some bytes after it."""
    reader, writer = await asyncio.open_unix_connection(path)
    known = f"Proxy-Authorization: Basic {base64.b64encode(f'afield:{token}'.encode()).decode()}\r\n" if token else ""
    writer.write(f"{first} HTTP/1.1\r\nHost: x\r\n{known}\r\n".encode() + data)
    if data:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_both_directions_to_the_end(proxy: Proxy, echo: int, tmp_path: Path) -> None:
    sent = bytes(range(256)) * 4000
    answer = await ask(tmp_path / "p", f"CONNECT 127.0.0.1:{echo}", token=proxy.token, data=sent)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n" + sent + b"end"
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o600


async def test_everything_else_is_refused(proxy: Proxy, echo: int, tmp_path: Path) -> None:
    path = tmp_path / "p"
    right = f"CONNECT 127.0.0.1:{echo}"
    for first, token, status in (
        (right, "", b"407"),
        (right, proxy.token + "x", b"407"),
        (right, "é", b"407"),
        ("CONNECT 127.0.0.1:1", proxy.token, b"403"),
        (f"CONNECT localhost:{echo}", proxy.token, b"403"),
        ("CONNECT 127.0.0.1:99999999", proxy.token, b"403"),
        ("CONNECT 127.0.0.1", proxy.token, b"403"),
        (f"GET http://127.0.0.1:{echo}/", proxy.token, b"405"),
    ):
        assert (await ask(path, first, token=token)).startswith(b"HTTP/1.1 " + status), first
    assert await ask(path, "CONNECT " + "x" * 10_000, token=proxy.token) == b""


async def test_closed_means_closed(proxy: Proxy, echo: int, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "p")
    known = base64.b64encode(f"afield:{proxy.token}".encode()).decode()
    writer.write(f"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nProxy-Authorization: Basic {known}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await proxy.close()
    assert (await asyncio.wait_for(reader.read(), 10)).strip() == b""
    writer.close()
    assert proxy.token == ""
    with pytest.raises(OSError, match="No such file"):
        await asyncio.open_unix_connection(tmp_path / "p")


def test_hosts_of_what_defines_an_environment() -> None:
    text = b'url = "https://Files.test/a/b", "https://me:secret@own.test:8443/x" http://plain.test https://files.test/c'
    assert hosts_in(text) == ("files.test:443", "own.test:8443")


def test_the_indexes_of_this_machine(tmp_path: Path) -> None:
    own = {"XDG_CONFIG_HOME": str(tmp_path)}
    (default,) = indexes.configured(own)
    assert default.startswith("https://")
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text('[[index]]\nurl = "https://lab.test/simple"\n')
    variables = {
        **own,
        "UV_DEFAULT_INDEX": "https://one.test/simple",
        "UV_INDEX": "two=https://two.test/x http://no.test",
    }
    found = indexes.configured(variables)
    assert found == ["https://one.test/simple", "https://two.test/x", "https://lab.test/simple"]
    assert indexes.public(found) == "https://one.test/simple"
    assert indexes.public(["https://me:secret@one.test/simple"]) == ""
