"""Following run folders over a real link: every byte once and in order, gaps marked, news without being asked."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from afield.runner.inotify import Inotify
from afield.transport import command
from afield.transport.local import Local

pytestmark = pytest.mark.anyio


NO_WATCHES = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
NAMESPACE = ("unshare", "--user", "--map-root-user", "/bin/sh", "-c", NO_WATCHES, "sh")


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Heard:
    """What a link pushed: the bytes of each stream as a mirror would have them, gaps, facts."""

    def __init__(self, link):
        self.streams: dict[str, Any] = {}
        self.cursors: dict[str, int] = {}
        self.gaps: list[tuple[str, dict]] = []
        self.facts: list[dict] = []
        self._news = asyncio.Event()
        link.on_push = self._pushed

    def _pushed(self, head, data):
        if head["on"] == "facts":
            self.facts.append(head["facts"])
        else:
            name = head["stream"]
            if head["gap"]:
                self.gaps.append((name, head["gap"]))
            elif name in self.cursors:
                assert head["offset"] == self.cursors[name], "a push left bytes out or sent some twice"
            self.streams.setdefault(name, bytearray()).extend(data)
            self.cursors[name] = head["offset"] + len(data)
        self._news.set()

    async def until(self, condition):
        try:
            async with asyncio.timeout(20):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            sizes = {name: len(data) for name, data in self.streams.items()}
            raise AssertionError(f"not so; heard {sizes}, gaps {self.gaps}, {len(self.facts)} facts") from None


@pytest.fixture
def run(sandbox) -> Path:
    folder = sandbox.home / ".afield" / "s" / "st" / "runs" / "1.1"
    (folder / "p0").mkdir(parents=True)
    return folder


@pytest.fixture(params=["kernel", "looking"])
def way(request, sandbox, monkeypatch):
    """A node that hears of changes from the kernel, and one whose account has used up its share of watches."""
    if request.param == "kernel" and not Inotify().start():
        pytest.skip("this kernel has no inotify")
    if request.param == "looking":
        # The limit is the account's: a namespace with a limit of 0 is the real thing.
        if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this system gives no namespaces of one's own")
        usual = command.local_argv
        monkeypatch.setattr(command, "local_argv", lambda python: [*NAMESPACE, *usual(python)])
    return Local(sandbox.env)


@pytest.fixture
async def link(way):
    opened = await way.open("st")
    yield opened
    await opened.close()


def add(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(data)


async def test_what_is_there_and_what_comes_arrives_once_and_in_order(link, run):
    heard = Heard(link)
    add(run / "p0" / "out", b"before\n")
    await link.call("watch", attempt="1.1", cursors={})
    chance = random.Random(7)
    wanted = {"p0/out": b"before\n", "p0/err": b"", "p1/out": b""}
    (run / "p1").mkdir()
    for _ in range(60):
        name = chance.choice(sorted(wanted))
        data = chance.randbytes(chance.choice((1, 10, 1000, 400_000)))
        add(run / name, data)
        wanted[name] += data
        if chance.random() < 0.3:
            await link.call("ping")
    await heard.until(lambda: all(len(heard.streams.get(name, b"")) == len(data) for name, data in wanted.items()))
    assert heard.streams == wanted
    assert heard.gaps == []


async def test_a_cursor_goes_on_where_it_was(link, run):
    heard = Heard(link)
    text = b"".join(b"line %d\n" % n for n in range(1000))
    add(run / "p0" / "out", text)
    for at in (0, 10, 64, 5000, len(text)):
        heard.streams.clear()
        heard.cursors.clear()
        tail = text[max(0, at - 64) : at].decode("latin-1")
        await link.call("watch", attempt="1.1", cursors={"p0/out": [at, tail]})
        add(run / "p0" / "out", b"more\n")
        text += b"more\n"
        end = len(text)
        await heard.until(lambda end=end: heard.cursors.get("p0/out") == end)
        assert heard.streams["p0/out"] == text[at:]
    assert heard.gaps == []


async def test_a_file_that_shrank_is_a_gap_and_is_read_from_its_start(link, run):
    heard = Heard(link)
    add(run / "p0" / "out", b"a" * 1000)
    await link.call("watch", attempt="1.1", cursors={})
    await heard.until(lambda: heard.cursors.get("p0/out") == 1000)
    os.truncate(run / "p0" / "out", 0)
    add(run / "p0" / "out", b"new")
    await heard.until(lambda: heard.streams["p0/out"].endswith(b"new"))
    assert heard.gaps == [("p0/out", {"from": 1000, "to": 0, "why": "shrank"})]


async def test_other_bytes_before_the_cursor_are_a_gap(link, run):
    heard = Heard(link)
    add(run / "p0" / "out", b"x" * 500)
    await link.call("watch", attempt="1.1", cursors={"p0/out": [300, "y" * 64]})
    await heard.until(lambda: heard.cursors.get("p0/out") == 500)
    assert heard.gaps == [("p0/out", {"from": 300, "to": 300, "why": "differs"})]
    assert len(heard.streams["p0/out"]) == 200


async def test_a_cursor_behind_the_end_is_a_gap(link, run):
    heard = Heard(link)
    add(run / "p0" / "out", b"x" * 500)
    await link.call("watch", attempt="1.1", cursors={"p0/out": [900, "x" * 64]})
    await heard.until(lambda: heard.cursors.get("p0/out") == 500)
    assert heard.gaps == [("p0/out", {"from": 900, "to": 0, "why": "shrank"})]


async def test_files_that_appear_and_vanish_are_told_as_facts(link, run):
    heard = Heard(link)
    reply, _ = await link.call("watch", attempt="1.1", cursors={})
    assert reply == {}, "what it tells must come in one order with what follows"
    assert [facts["stops"] for facts in heard.facts] == [0]
    (run / ".new").write_text("{}")
    (run / ".new").rename(run / "stop.1")
    await heard.until(lambda: heard.facts and heard.facts[-1]["stops"] == 1)
    (run / "stop.1").unlink()
    await heard.until(lambda: heard.facts[-1]["stops"] == 0)


async def test_output_alone_is_no_news_of_facts(link, run):
    heard = Heard(link)
    add(run / "p0" / "out", b"x")
    await link.call("watch", attempt="1.1", cursors={})
    for _ in range(50):
        add(run / "p0" / "out", b"x")
        await link.call("ping")
    await heard.until(lambda: heard.cursors.get("p0/out") == 51)
    assert len(heard.facts) == 1, "nothing but what the watch told"


async def test_a_folder_that_is_made_later_is_followed(link, run, sandbox):
    heard = Heard(link)
    await link.call("watch", attempt="2.1", cursors={})
    later = run.parent / "2.1" / "stage" / "setup"
    later.mkdir(parents=True)
    add(later / "out", b"hello\n")
    await heard.until(lambda: heard.streams.get("stage/setup/out") == b"hello\n")


async def test_after_unwatch_nothing_comes(link, run):
    heard = Heard(link)
    await link.call("watch", attempt="1.1", cursors={})
    await link.call("unwatch", attempt="1.1")
    add(run / "p0" / "out", b"unheard")
    (run.parent / "1.2" / "p0").mkdir(parents=True)
    add(run.parent / "1.2" / "p0" / "out", b"heard")
    await link.call("watch", attempt="1.2", cursors={})
    await heard.until(lambda: heard.streams.get("p0/out") == b"heard")


async def test_a_reader_that_stops_costs_no_memory_and_misses_nothing(link, run):
    heard = Heard(link)
    with (run / "p0" / "out").open("wb") as file:
        file.truncate(200_000_000)
    before = largest(link.pid)
    await link.call("watch", attempt="1.1", cursors={})
    link.pause()
    add(run / "p0" / "err", b"end")
    asked = asyncio.create_task(link.call("ping"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asked), 0.3)
    link.resume()
    await heard.until(lambda: heard.cursors.get("p0/out") == 200_000_000 and "p0/err" in heard.cursors)
    assert (await asked)[0] == {}
    assert largest(link.pid) - before < 8_000_000


async def test_one_stream_that_floods_does_not_hide_the_others(link, run):
    heard = Heard(link)
    with (run / "p0" / "out").open("wb") as file:
        file.truncate(300_000_000)
    await link.call("watch", attempt="1.1", cursors={})
    (run / "p1").mkdir()
    add(run / "p1" / "out", b"small\n")
    await heard.until(lambda: heard.streams.get("p1/out") == b"small\n")
    assert heard.cursors.get("p0/out", 0) < 300_000_000
    await heard.until(lambda: heard.cursors.get("p0/out") == 300_000_000)


async def test_a_link_in_the_place_of_a_stream_is_not_followed(link, run):
    heard = Heard(link)
    (run / "secret").write_text("secret")
    (run / "p0" / "out").symlink_to(run / "secret")
    await link.call("watch", attempt="1.1", cursors={})
    add(run / "p0" / "err", b"real")
    await heard.until(lambda: heard.streams.get("p0/err") == b"real")
    assert "p0/out" not in heard.streams


def largest(pid: int) -> int:
    """The most memory that the process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
