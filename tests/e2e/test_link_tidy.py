"""A node gives room back over a real link: what ended long ago, what was used longest ago, never what is live."""

from __future__ import annotations

import fcntl
import os
import platform
import sys
import time
from pathlib import Path

import pytest

from afield.controller import session
from afield.controller.real import REAL
from afield.controller.session import KEEP
from afield.model.ids import NodeName
from afield.runner import environment, verdict
from afield.runner.folder import Paths
from afield.snapshot.send import send
from afield.snapshot.take import take
from afield.transport.local import Local
from tests.e2e.test_link_runs import ended, facts_when, spec
from tests.e2e.test_snapshot_link import all_there, until

pytestmark = pytest.mark.anyio

WEEK = 7 * 86400
NOTHING: dict[str, list[str]] = {"runs": [], "trees": [], "environments": []}
NOW = KEEP | {"every_s": 0}
TIGHT = NOW | {"bytes": 0, "fresh_s": 0}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def link(sandbox):
    opened = await Local(sandbox.env).open("st")
    yield opened
    await opened.close()


@pytest.fixture
def store(sandbox) -> Path:
    return sandbox.home / ".afield" / "s" / "st"


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


async def tidied(link, **limits):
    done, _ = await link.call("tidy", limits=NOW | limits)
    return done


async def over(link, attempt: int) -> None:
    await link.call("launch", spec=spec("true", attempt=attempt))
    await facts_when(link, f"7.{attempt}", ended)


def environment_of(store: Path, key: str, used_s: float) -> Path:
    """A finished environment with something in it."""
    paths = Paths("st", str(store.parent.parent), str(store.parent.parent))
    place = Path(environment.folder(paths, {"environment": {"key": key}}))
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "package.py").write_bytes(os.urandom(100_000))
    (place / environment.MARKER).write_text("{}")
    aged(place / environment.MARKER, used_s)
    assert platform.machine() in place.name
    return place


async def test_a_run_goes_a_week_after_its_acknowledgement(link, store):
    for attempt in (1, 2, 3):
        await over(link, attempt)
    for attempt in (1, 2):
        await link.call("ack", attempt=f"7.{attempt}")
    for attempt in (1, 3):
        for name in os.listdir(store / "runs" / f"7.{attempt}"):
            aged(store / "runs" / f"7.{attempt}" / name, WEEK + 60)
    aged(store / "runs" / "7.2" / "acked", WEEK - 60)
    assert await tidied(link) == NOTHING | {"runs": ["7.1"]}
    assert sorted(os.listdir(store / "runs")) == ["7.2", "7.3"]
    assert sorted(os.listdir(store / "jobs")) == ["7.2", "7.3"]
    again = (await link.call("launch", spec=spec("true", attempt=1)))[0]
    assert again["state"] == "sealed", "what ran here once never runs again"


async def test_files_that_a_killed_removal_left_go_too(link, store):
    await over(link, 1)
    (store / "jobs" / "6.1" / "src").mkdir(parents=True)
    (store / "jobs" / "8.1" / "src").mkdir(parents=True)
    aged(store / "jobs" / "6.1", WEEK + 60)
    aged(store / "jobs" / "7.1", WEEK + 60)
    assert await tidied(link) == NOTHING
    assert sorted(os.listdir(store / "jobs")) == ["7.1", "8.1"]


async def test_it_looks_only_when_it_is_time(link, store):
    await over(link, 1)
    assert await tidied(link) == NOTHING
    await link.call("ack", attempt="7.1")
    assert await tidied(link, age_s=0, every_s=3600) == {}
    assert await tidied(link, age_s=0) == NOTHING | {"runs": ["7.1"]}


async def test_the_environment_used_longest_ago_goes_first(link, store):
    old, new = environment_of(store, "old", 9000), environment_of(store, "new", 7200)
    assert await tidied(link) == NOTHING, "there is room"
    assert await tidied(link, bytes=150_000) == NOTHING | {"environments": [old.name]}
    assert (old.exists(), new.exists()) == (False, True)
    assert await tidied(link, bytes=0, fresh_s=8000) == NOTHING, "what was used just now stays"


async def test_an_environment_in_use_stays(link, store):
    place = environment_of(store, "used", 9000)
    order = spec("echo up; sleep 600")
    order["environment"] = {"kind": "requirements.txt", "key": "used", "python": "", "files": []}
    await link.call("launch", spec=order)
    await facts_when(link, "7.1", lambda facts: verdict.verdict(facts) == verdict.LIVE)
    assert time.time() - (place / environment.MARKER).stat().st_mtime < 60, "its use was noted"
    assert await tidied(link, **TIGHT) == NOTHING
    await link.call("stop", attempt="7.1", k=1, why="user", grace_s=0.1, by="ann")
    await facts_when(link, "7.1", ended)
    assert await tidied(link, **TIGHT) == NOTHING, "its end is not acknowledged"
    await link.call("ack", attempt="7.1")
    assert (await tidied(link, **TIGHT))["environments"] == [place.name]


async def test_an_environment_that_is_being_built_stays(link, store):
    place = environment_of(store, "busy", 9000)
    lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert await tidied(link, **TIGHT) == NOTHING
    os.close(lock)
    assert (await tidied(link, **TIGHT))["environments"] == [place.name]


async def test_a_tree_goes_and_is_sent_anew(link, sandbox, store):
    for number in range(200):
        (sandbox.project / f"file{number}.py").write_bytes(os.urandom(500))
    snapshot = take(sandbox.project, cache=sandbox.cache)
    await send(link, sandbox.cache, snapshot.workspace, snapshot.tree, None)
    first = spec("cat file1.py; sleep 600", code={"workspace": snapshot.workspace, "tree": snapshot.tree, "cwd": ""})
    assert (await link.call("launch", spec=first))[0]["state"] == "launched"
    trees = store / "w" / snapshot.workspace
    await until(all_there, trees / "spare.1.index")
    assert (await tidied(link, **TIGHT))["trees"] == [snapshot.workspace]
    assert [name for name in os.listdir(trees) if "lock" not in name] == []
    source = store / "jobs" / "7.1" / "src"
    assert len(os.listdir(source)) == 200, "a job's own files are its own"
    second = first | {"attempt": 2, "nonce": f"{2:032x}"}
    assert (await link.call("launch", spec=second))[0] == {"state": "need", "reason": "", "have": None}
    await send(link, sandbox.cache, snapshot.workspace, snapshot.tree, None)
    assert (await link.call("launch", spec=second))[0]["state"] == "launched"


class Ear:
    """Who listens to a session, and has nothing to do."""

    async def record(self, *events):
        """Nothing is kept."""

    async def connected(self, session):
        """Nothing is followed."""

    def pushed(self, node, head, data):
        """Nothing is watched."""


async def test_a_session_has_its_node_tidied(link, sandbox, store, monkeypatch):
    await over(link, 1)
    await link.call("ack", attempt="7.1")
    aged(store / "runs" / "7.1" / "acked", WEEK + 60)
    monkeypatch.setattr(session, "TIDY_FIRST_S", 0.0)
    kept = session.Session(NodeName("local"), "st", lambda: Local(sandbox.env), Ear(), REAL)
    kept.start()
    try:
        await until(lambda place: not place.exists(), store / "runs" / "7.1")
    finally:
        await kept.close()


async def test_what_other_names_hold_too_does_not_count(link, store, tmp_path):
    place = environment_of(store, "linked", 9000)
    os.link(place / "package.py", store / "elsewhere.py")
    assert await tidied(link, bytes=50_000, fresh_s=0) == NOTHING
