"""A snapshot over a real link to this machine: sent, staged by a launch, kept ready by the link."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afield.snapshot.send import send
from afield.snapshot.take import Snapshot, take
from afield.testing.sandbox import Sandbox
from afield.transport.link import Link
from afield.transport.local import Local
from tests.unit.snapshot.folders import contents, put

STORE = "store0"


async def until(done: Callable[..., bool], *about: Path) -> None:
    """Wait for a condition on paths; fails with what lies beside the first of them instead."""
    give_up = time.monotonic() + 20
    while not done(*about):
        assert time.monotonic() < give_up, contents(about[0].parent)
        await asyncio.sleep(0.01)


def says_its_folder(out: Path, folder: Path) -> bool:
    return out.exists() and out.read_bytes() == f"{folder}\n".encode()


def all_there(*paths: Path) -> bool:
    return all(path.exists() for path in paths)


def spec(snapshot: Snapshot, job: int, cwd: str) -> dict[str, Any]:
    """One process that says where it runs."""
    process = {"rank": 0, "argv": ["pwd"], "variables": {}, "devices": [], "python": False}
    code = {"workspace": snapshot.workspace, "tree": snapshot.tree, "cwd": cwd}
    return {
        "store": STORE,
        "job": job,
        "attempt": 1,
        "node": "here",
        "nonce": f"{job:032x}",
        "user": "u",
        "code": code,
        "environment": {"kind": "none", "key": "", "python": "", "files": [], "uv": ""},
        "stages": [],
        "processes": [process],
        "merge": False,
        "end": "all",
        "time_limit_s": None,
        "grace_s": 1.0,
        "gang": False,
        "gate_s": 120,
    }


async def launched(link: Link, cache: Path, snapshot: Snapshot, job: int) -> None:
    """Launch, and send what the node asks for."""
    reply, _ = await link.call("launch", spec=spec(snapshot, job, "pkg"))
    if reply["state"] == "need":
        await send(link, cache, snapshot.workspace, snapshot.tree, reply["have"])
        reply, _ = await link.call("launch", spec=spec(snapshot, job, "pkg"))
    assert reply["state"] == "launched", reply


async def story(sandbox: Sandbox) -> None:
    store = sandbox.home / ".afield" / "s" / STORE
    link = await Local(sandbox.env).open(STORE)
    try:
        for job in (1, 2, 3):
            put(sandbox.project, "pkg/edited.py", b"%d" % job)
            snapshot = take(sandbox.project, cache=sandbox.cache)
            await launched(link, sandbox.cache, snapshot, job)
            source = store / "jobs" / f"{job}.1" / "src"
            assert contents(source) == contents(sandbox.project)
            await until(says_its_folder, store / "runs" / f"{job}.1" / "p0" / "out", source / "pkg")
            trees = store / "w" / snapshot.workspace
            await until(all_there, trees / "spare.0.index", trees / "spare.1.index")
    finally:
        await link.close()


def test_launches_get_the_code_as_it_was(sandbox: Sandbox) -> None:
    for i in range(200):
        put(sandbox.project, f"pkg/m{i % 9}/f{i}.py", os.urandom(i))
    os.symlink("m0", sandbox.project / "pkg" / "link")
    asyncio.run(story(sandbox))
