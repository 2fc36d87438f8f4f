"""Orders about attempts over a real link: launched once, stopped, read, acknowledged, removed; links come and go."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from afield.errors import AfieldError
from afield.runner import verdict
from afield.testing.processes import identity
from afield.transport.local import Local

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def link(sandbox):
    opened = await Local(sandbox.env).open("st")
    yield opened
    await opened.close()


def spec(script: str, attempt: int = 1, **changes):
    process = {"rank": 0, "argv": ["sh", "-c", script], "variables": {}, "devices": [], "python": False}
    return {
        "store": "st",
        "job": 7,
        "attempt": attempt,
        "node": "local",
        "nonce": f"{attempt:032x}",
        "user": "ann",
        "code": None,
        "environment": {"kind": "none", "key": "", "python": "", "files": []},
        "stages": [],
        "processes": [process],
        "merge": False,
        "end": "all",
        "time_limit_s": None,
        "grace_s": 5.0,
        "gang": False,
        "gate_s": 120,
        **changes,
    }


async def facts_when(link, attempt, condition):
    facts = None
    try:
        async with asyncio.timeout(30):
            while True:
                facts = (await link.call("facts", attempt=attempt))[0]["facts"]
                if condition(facts):
                    return facts
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so; facts {facts}") from None


def ended(facts):
    return verdict.verdict(facts) == verdict.ENDED


async def read(link, attempt, path, kind="run"):
    head, data = await link.call("read", attempt=attempt, kind=kind, path=path, offset=0, length=1 << 20)
    assert head["size"] == len(data)
    return data


async def test_a_launch_runs_once_however_often_it_is_asked(link, sandbox):
    order = spec(f"echo run >> {sandbox.root}/ledger; echo out; echo err >&2; exit 3")
    replies = await asyncio.gather(*(link.call("launch", spec=order) for _ in range(5)))
    states = sorted(reply["state"] for reply, _ in replies)
    facts = await facts_when(link, "7.1", ended)
    assert set(states) <= {"launched", "already"}
    assert "launched" in states
    assert verdict.exits(facts) == [{"rank": 0, "code": 3, "signal": None}]
    assert (await link.call("launch", spec=order))[0]["state"] == "already"
    assert (sandbox.root / "ledger").read_text() == "run\n"
    assert (await read(link, "7.1", "p0/out"), await read(link, "7.1", "p0/err")) == (b"out\n", b"err\n")


async def test_a_launch_that_watches_brings_facts_and_output(link):
    news = []
    complete = asyncio.Event()

    def push(head, data):
        news.append((head, data))
        if told(news) and out(news) == b"hello\n":
            complete.set()

    link.on_push = push
    reply, _ = await link.call("launch", spec=spec("echo hello"), watch={})
    assert reply["facts"]["spec"] is True
    await facts_when(link, "7.1", ended)
    await asyncio.wait_for(complete.wait(), 20)


def told(news):
    return any(head["on"] == "facts" and ended(head["facts"]) for head, _ in news)


def out(news):
    return b"".join(data for head, data in news if head["on"] == "out" and head["stream"] == "p0/out")


async def test_jobs_do_not_notice_that_links_end(sandbox):
    first = await Local(sandbox.env).open("st")
    gate = sandbox.root / "gate"
    await first.call("launch", spec=spec(f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 9"))
    await facts_when(first, "7.1", lambda facts: verdict.verdict(facts) == verdict.LIVE)
    os.kill(first.pid, signal.SIGKILL)
    await first.wait_closed()
    second = await Local(sandbox.env).open("st")
    await facts_when(second, "7.1", lambda facts: verdict.verdict(facts) == verdict.LIVE)
    gate.touch()
    facts = await facts_when(second, "7.1", ended)
    assert verdict.exits(facts) == [{"rank": 0, "code": 9, "signal": None}]
    await second.close()


async def test_the_keeper_holds_nothing_of_the_link_that_started_it(sandbox):
    link = await Local(sandbox.env).open("st")
    await link.call("launch", spec=spec("exec sleep 600"))
    facts = await facts_when(link, "7.1", lambda facts: verdict.verdict(facts) == verdict.LIVE)
    carrier = identity(link.pid)
    await link.close()
    assert identity(link.pid) != carrier
    shepherd = facts["processes"]["0"]["started"]["shepherd"][0]
    targets = {os.readlink(entry) for entry in Path(f"/proc/{shepherd}/fd").iterdir()}
    assert not [target for target in targets if target.startswith("socket")], targets
    again = await Local(sandbox.env).open("st")
    await again.call("stop", attempt="7.1", k=1, why="user", grace_s=1.0, by="ann")
    await facts_when(again, "7.1", ended)
    await again.close()


async def test_a_stop_ends_the_program_and_says_by_whom(link):
    await link.call("launch", spec=spec("exec sleep 600"))
    await facts_when(link, "7.1", lambda facts: verdict.verdict(facts) == verdict.LIVE)
    for _ in range(2):
        await link.call("stop", attempt="7.1", k=1, why="user", grace_s=5.0, by="ann")
    facts = await facts_when(link, "7.1", ended)
    assert (facts["final"]["why"], facts["final"]["by_us"], facts["stops"]) == ("user", True, 1)


async def test_a_sealed_attempt_is_never_started(link, sandbox):
    reply, _ = await link.call("seal", attempt="7.1", reason="another plan")
    assert verdict.verdict(reply["facts"]) == verdict.NEVER_STARTED
    reply, _ = await link.call("launch", spec=spec(f"touch {sandbox.root}/ran"))
    assert (reply["state"], reply["reason"]) == ("sealed", "another plan")
    assert not (sandbox.root / "ran").exists()


async def test_another_launch_under_the_same_number_is_refused(link, sandbox):
    await link.call("launch", spec=spec("true"))
    with pytest.raises(AfieldError) as caught:
        await link.call("launch", spec=spec(f"touch {sandbox.root}/ran", nonce="f" * 32))
    assert caught.value.code == "conflict"
    await facts_when(link, "7.1", ended)
    assert not (sandbox.root / "ran").exists()


async def test_a_launch_says_when_its_code_is_missing(link):
    code = {"workspace": "0123456789abcdef", "tree": "4" * 40, "cwd": ""}
    reply, _ = await link.call("launch", spec=spec("true", code=code))
    assert (reply["state"], reply["have"]) == ("need", None)
    assert (await link.call("facts", attempt="7.1"))[0]["facts"]["spec"] is False


async def test_acknowledged_runs_are_listed_no_more_and_can_be_removed(link):
    for attempt in (1, 2):
        await link.call("launch", spec=spec("true", attempt=attempt, job=7 + attempt))
        await facts_when(link, f"{7 + attempt}.{attempt}", ended)
    await link.call("ack", attempt="8.1")
    runs = (await link.call("runs"))[0]["runs"]
    assert [run["attempt"] for run in runs] == ["9.2"]
    assert verdict.verdict(runs[0]["facts"]) == verdict.ENDED
    assert (await link.call("clean", attempts=["8.1", "9.2"]))[0] == {"removed": ["8.1"]}
    facts = (await link.call("facts", attempt="9.2"))[0]["facts"]
    assert verdict.verdict(facts) == verdict.ENDED


async def test_results_are_listed_and_read_as_they_are(link):
    script = """cd "$OUTPUT_DIR" && mkdir -p sub/deep && : > sub/deep/empty && ln -s /etc/passwd link
    odd=$(printf 'a b\\377') && echo x > "$odd" && chmod 754 "$odd"
    """
    await link.call("launch", spec=spec(script))
    await facts_when(link, "7.1", ended)
    place, _ = await link.call("data.find", area="job", attempt="7.1", path="outputs")
    reply, _ = await link.call("data.list", path=place["path"], deep=True)
    rows = {row[0]: row for row in reply["entries"] if row[1] != "dir"}
    name = os.fsdecode(b"a b\xff")
    assert set(rows) == {name, "link", "sub/deep/empty"}
    assert rows[name][1:3] + rows[name][4:] == ["file", 2, 0o754, None]
    assert rows["link"][5] == "/etc/passwd"
    assert await read(link, "7.1", f"outputs/{name}", kind="job") == b"x\n"
    for path in ("outputs/link", "outputs/../../../x", "/etc/passwd", "outputs"):
        with pytest.raises(AfieldError):
            await read(link, "7.1", path, kind="job")


async def test_very_many_files_are_one_answer(link, sandbox):
    folder = sandbox.home / ".afield" / "s" / "st" / "jobs" / "7.1" / "outputs"
    folder.mkdir(parents=True)
    for number in range(9000):
        (folder / f"{number:05}").touch()
    reply, _ = await link.call("data.list", path=str(folder), deep=True)
    assert [row[0] for row in reply["entries"]] == [f"{number:05}" for number in range(9000)]


async def test_uv_arrives_whole_or_not_at_all(link, sandbox):
    data = os.urandom(300_000)
    tools = sandbox.home / ".afield" / "bin"
    await link.call("uv.put", data[:200_000], version="0.9.1", offset=0, total=len(data), last=False)
    with pytest.raises(AfieldError):
        await link.call("uv.put", data, version="0.9.1", offset=100_000, total=len(data), last=True)
    assert not (tools / "uv-0.9.1").exists()
    await link.call("uv.put", data[200_000:], version="0.9.1", offset=200_000, total=len(data), last=True)
    assert (tools / "uv-0.9.1").read_bytes() == data
    assert os.access(tools / "uv-0.9.1", os.X_OK)
    with pytest.raises(AfieldError):
        await link.call("uv.put", data, version="../../x", offset=0, total=len(data), last=True)


async def test_a_program_gets_the_accounts_umask_and_not_ours(sandbox):
    before = os.umask(0o027)
    try:
        link = await Local(sandbox.env).open("st")
    finally:
        os.umask(before)
    assert (await link.call("exec", argv=["sh", "-c", "umask"]))[1] == b"0027\n"
    await link.call("launch", spec=spec("umask"))
    await facts_when(link, "7.1", ended)
    assert (await read(link, "7.1", "p0/out")) == b"0027\n"
    await link.close()


async def test_a_killed_launch_can_be_asked_again(sandbox):
    for number, label in enumerate(("link.run", "link.run+", "link.spec", "link.spec+"), start=1):
        link = await Local({**sandbox.env, "AFIELD_KILL": label}).open("st")
        order = spec(f"echo run >> {sandbox.root}/ledger{number}", job=number)
        with pytest.raises(AfieldError) as caught:
            await link.call("launch", spec=order)
        assert caught.value.code == "interrupted"
        await link.close()
        again = await Local(sandbox.env).open("st")
        await again.call("launch", spec=order)
        await facts_when(again, f"{number}.1", ended)
        assert (sandbox.root / f"ledger{number}").read_text() == "run\n"
        await again.close()
