"""Answers without a process: statuses, streams cut and left, the description of the API."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from afield import errors
from afield.errors import AfieldError
from afield.runner import wire
from afield.server.answer import Stream, frames, status_of
from afield.server.app import api
from afield.server.desk import Desk
from afield.server.port import Frame


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.UsageError, 400),
        (errors.NotAllowed, 403),
        (errors.NotFound, 404),
        (errors.Conflict, 409),
        (errors.NothingFits, 422),
        (errors.SetupFailed, 424),
        (errors.Unreachable, 502),
        (errors.StoreRefused, 507),
        (errors.Fault, 500),
        (errors.IllegalMove, 500),
        (errors.AfieldError, 500),
    ],
)
def test_each_error_has_its_status(kind: type[AfieldError], status: int) -> None:
    assert status_of(kind("what")) == status


def test_a_subclass_has_the_status_of_its_parent() -> None:
    assert status_of(errors.RequestSyntaxError("what", column=3)) == 400


class Reader:
    """The other end of an ASGI answer; hangs up when told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.hangs_up = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)


async def source(let_go: asyncio.Event, error: AfieldError | None = None) -> AsyncIterator[Frame]:
    try:
        yield {"on": "out"}, b"first"
        if error is not None:
            raise error
        await asyncio.Event().wait()
    finally:
        let_go.set()


async def give(stream: Stream, reader: Reader) -> None:
    await asyncio.wait_for(stream({}, reader.receive, reader.send), 10)


def test_a_cut_stream_says_farewell_and_lets_its_source_go() -> None:
    async def play() -> None:
        reader, let_go, cut = Reader(), asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().call_soon(cut.set)
        await give(Stream(frames(source(let_go)), "x/y", cut, b"bye"), reader)
        assert let_go.is_set()
        assert reader.body == wire.pack({"on": "out"}, b"first") + b"bye"
        assert reader.sent[-1]["more_body"] is False

    asyncio.run(play())


def test_a_reader_that_hangs_up_lets_the_source_go() -> None:
    async def play() -> None:
        reader, let_go = Reader(), asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, reader.hangs_up.set)
        await give(Stream(frames(source(let_go)), "x/y"), reader)
        assert let_go.is_set()

    asyncio.run(play())


def test_an_error_in_the_middle_is_the_last_frame() -> None:
    async def play() -> None:
        reader = Reader()
        await give(Stream(frames(source(asyncio.Event(), errors.Unreachable("gone"))), "x/y"), reader)
        heads = [head for head, _ in wire.Decoder().feed(reader.body)]
        assert heads[-1]["error"]["code"] == "unreachable"
        assert reader.sent[0]["status"] == 200

    asyncio.run(play())


def test_an_error_before_the_first_frame_is_raised_for_its_status() -> None:
    async def nothing() -> AsyncGenerator[Frame, None]:
        raise errors.NotFound("no job")
        yield {}, b""

    async def play() -> None:
        reader = Reader()
        with pytest.raises(errors.NotFound):
            await give(Stream(frames(nothing()), "x/y"), reader)
        assert reader.sent == []

    asyncio.run(play())


def test_the_api_describes_itself() -> None:
    described = api(Desk()).openapi()
    paths = described["paths"]
    assert {p for p in paths if "/jobs" in p} == {
        "/v1/jobs",
        *(
            f"/v1/jobs/{{number}}{rest}"
            for rest in ("", "/why", "/submission", "/stop", "/release", "/follow", "/shell", "/output", "/file")
        ),
    }
    assert {p for p in paths if "/data" in p} == {
        f"/v1/data/{word}" for word in ("places", "list", "get", "fetch", "put")
    }
    assert all("summary" in way or "description" in way for path in paths.values() for way in path.values())
    assert {"SubmitBody", "JobView", "NodeView", "Failure"} <= set(described["components"]["schemas"])


def test_the_description_is_printed() -> None:
    printed = subprocess.run([sys.executable, "-m", "afield.server", "--openapi"], capture_output=True, check=True)
    assert json.loads(printed.stdout)["info"]["title"] == "afield"
