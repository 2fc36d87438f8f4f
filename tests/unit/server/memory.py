"""A small controller for tests of the server and its client, and its process: what a command says is what it does.

`lines N` has N lines of output and ends; `forever` runs until it is stopped; `die` kills the process once, after the
job is stored and before anybody is told. Jobs are kept in the state folder, so that they outlive the process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import afield.build

if "TEST_BUILD" in os.environ:
    afield.build.build = lambda: os.environ["TEST_BUILD"]  # type: ignore[assignment]

from pydantic import TypeAdapter  # after the build is what a test wants it to be

from afield.config.secrets import Secrets
from afield.controller.submit import Submission
from afield.errors import Conflict, NotFound, NothingFits
from afield.folders import Folders
from afield.model.event import GoalSet, Record
from afield.model.ids import JobNumber
from afield.model.job import Goal
from afield.runner import blocks, wire
from afield.server.port import Frame, View
from afield.server.process import run

ADAPTER: TypeAdapter[Submission] = TypeAdapter(Submission)
LINE = b"%09d the quick brown fox jumps over the lazy dog and back\n"


@lru_cache
def output(lines: int) -> bytes:
    """What `lines N` writes."""
    return b"".join(LINE % i for i in range(lines))


class MemoryFleet:
    """Two nodes; `box2` never answers."""

    def __init__(self) -> None:
        self.agent = ""
        self.added: list[dict[str, Any]] = []

    def bring_agent(self, agent: str) -> None:
        self.agent = agent or self.agent

    async def add(self, spec: dict[str, Any]) -> View:
        if any(spec["name"] == n["name"] for n in self.added):
            raise Conflict(f"node {spec['name']} exists already")
        self.added.append(spec)
        return spec

    async def set(self, name: str, changes: dict[str, Any]) -> View:
        self.view(name).update(changes)
        return self.view(name)

    async def remove(self, name: str, *, force: bool) -> View:
        view = self.view(name)
        self.added.remove(view)
        return {**view, "force": force}

    async def probe(self, name: str) -> View:
        return {**self.view(name), "probed": True}

    async def probe_all(self, names: list[str] | None) -> list[View]:
        return [{**self.view(n), "probed": True} for n in names or [node["name"] for node in self.added]]

    async def clean(self, name: str, *, every: bool, force: bool, act: bool) -> dict[str, Any]:
        return {**self.view(name), "every": every, "force": force, "act": act}

    def view(self, name: str) -> View:
        for node in self.added:
            if node["name"] == name:
                return node
        raise NotFound(f"there is no node {name}", why="known: none", hints=["afield node add"])

    def all(self) -> list[View]:
        return self.added

    def shell(self, name: str) -> View:
        return {"argv": ["ssh", "-t", name], "login": ["ssh", name], "agent": self.agent}


FILES = {"model.bin": b"\0\xff" * 300_000, "logs/a.txt": b"hello\n", "bad\udcff.txt": b"", "empty": b""}
WHEN = 1_700_000_000_000_000_001


class MemoryBeside:
    """Commands: each says its own words."""

    async def on_nodes(
        self, names: list[str] | None, argv: list[str], variables: dict[str, str]
    ) -> AsyncIterator[Frame]:
        for name in names or ["box1"]:
            if name == "nowhere":
                raise NotFound("there is no node nowhere")
            yield {"on": "out", "node": name, "stream": "out"}, os.fsencode(" ".join([*argv, *variables.values()]))
            yield {"on": "exit", "node": name, "code": 0, "signal": None}, b""
        yield {"on": "done"}, b""

    def in_job(
        self, number: int, workers: list[int] | None, argv: list[str], variables: dict[str, str]
    ) -> AsyncIterator[Frame]:
        return self.on_nodes([f"w{worker}" for worker in workers or [0]], argv, variables)

    async def shell(self, number: int, worker: int) -> View:
        return {"argv": ["ssh", "-t", f"w{worker}", f"job {number}"], "login": None, "node": f"w{worker}"}


class MemoryData:
    """One folder with the same files everywhere; what comes in is counted."""

    def __init__(self) -> None:
        self.given = 0

    async def places(self, wanted: Mapping[str, Any], user: str) -> list[View]:
        if wanted["path"] == "nowhere":
            raise NotFound("there is no such place")
        return [{"node": "box1", "worker": 0, "kind": "dir", "path": f"/{user}/{wanted['path']}", "reach": None}]

    async def listing(self, node: str, path: str, *, deep: bool) -> list[list[Any]]:
        return [[name, "file", len(data), WHEN, 0o644, None] for name, data in FILES.items()]

    async def get(self, node: str, path: str, files: Sequence[Sequence[Any]]) -> AsyncIterator[Frame]:
        for name, offset in files:
            data, total = FILES[name], blocks.Sum()
            yield (
                {"on": "file", "path": name, "size": len(data), "mode": 0o644, "mtime_ns": WHEN, "offset": offset},
                b"",
            )
            if data:
                total.add(0, data)
                yield {"on": "data", "path": name, "offset": 0}, data
            yield {"on": "sum", "path": name, "sum": total.end(len(data)), "changed": False}, b""
        yield {"on": "done"}, b""

    async def fetch(self, node: str, folder: str, url: str, sha256: str) -> AsyncIterator[Frame]:
        yield {"on": "fetched", "path": f"{folder}/{url}", "size": 0, "sha256": sha256, "there": False}, b""

    async def put(self, node: str, base: str, items: AsyncIterator[Frame]) -> int:
        count = 0
        async for head, data in items:
            if head["on"] == "refuse":
                raise Conflict("the node does not want this")
            count += 1 + len(data)
        return count


class MemoryForwards:
    """Each place is reached at itself; held until the caller leaves, but a job's is over at once."""

    def __init__(self) -> None:
        self.held = 0

    async def hold(self, wanted: Mapping[str, Any]) -> AsyncIterator[Frame]:
        if wanted["node"] == "nowhere":
            raise NotFound("there is no node nowhere")
        self.held += 1
        try:
            yield {"on": "open", "node": "box1", "ways": {place: place for place in wanted["places"]}}, b""
            if wanted["job"] is not None:
                yield {"on": "end", "job": {"number": wanted["job"]}}, b""
                return
            await asyncio.Event().wait()
        finally:
            self.held -= 1


class MemoryController:
    """Jobs in a list and in a file."""

    def __init__(self, state: Path) -> None:
        self.store_id = "memory"
        self.fleet = MemoryFleet()
        self.data = MemoryData()
        self.secrets = Secrets(str(state / "secrets.json"))
        self.forwards = MemoryForwards()
        self.beside = MemoryBeside()
        self.asked: list[Submission] = []
        self.stopped: set[int] = set()
        self.given = 0
        self._file = state / "jobs.jsonl"
        self._state = state
        self._changed = asyncio.Event()

    @property
    def idle_since(self) -> float | None:
        return None if any(self._outcome(n + 1) is None for n in range(len(self.asked))) else 0.0

    @property
    def seq(self) -> int:
        return len(self.asked)

    async def start(self) -> None:
        if self._file.exists():
            self.asked = [ADAPTER.validate_python(json.loads(line)) for line in self._file.read_text().splitlines()]

    async def close(self) -> None:
        (self._state / "closed").touch()

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool = False) -> list[View]:
        known = {s.key: (n, s) for n, s in enumerate(self.asked, 1)}
        for submission in submissions:
            if submission.nodes == ("nowhere",):
                raise NothingFits("no node fits", why="nowhere is not in the fleet")
            if submission.key in known and known[submission.key][1].body != submission.body:
                raise Conflict(f"submit key {submission.key} was used for another job")
        if dry_run:
            return [self._view(0, s) for s in submissions]
        with self._file.open("a") as file:
            for submission in submissions:
                if submission.key not in known:
                    self.asked.append(submission)
                    known[submission.key] = (len(self.asked), submission)
                    file.write(json.dumps(dataclasses.asdict(submission)) + "\n")
        if submissions[0].task.argv[0] == "die" and not (self._state / "died").exists():
            (self._state / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [self.job(known[s.key][0]) for s in submissions]

    async def stop_job(self, number: int, by: str) -> View:
        self.job(number)
        self.stopped.add(number)
        self._changed.set()
        return self.job(number)

    async def release_job(self, number: int, by: str) -> View:
        return {**self.job(number), "reason": f"released by {by}"}

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[View]:
        return [self.job(n) for n in range(len(self.asked), 0, -1)][:limit]

    def job(self, number: int) -> View:
        return self._view(number, self.submission(number))

    def submission(self, number: int) -> Submission:
        if not 0 < number <= len(self.asked):
            raise NotFound(f"there is no job {number}", hints=["afield ps --all"])
        return self.asked[number - 1]

    def why(self, number: int) -> View:
        return {"schema": 1, "job": number, "reason": self.job(number)["reason"], "lines": []}

    async def follow(
        self, number: int, cursors: dict[str, int], *, follow_on: bool = True, tail: int | None = None
    ) -> AsyncIterator[Frame]:
        key = f"{number}.1/p0/out"
        try:
            yield {"on": "job", "job": self.job(number)}, b""
            yield {"on": "stage", "attempt": f"{number}.1", "stage": "machine", "state": "done", "text": "box1"}, b""
            whole = output(self._lines(number))
            at = cursors.get(key, 0 if tail is None else max(0, len(whole) - tail))
            while data := whole[at : at + wire.CHUNK]:
                at += len(data)
                self.given += len(data)
                head = {"on": "out", "attempt": f"{number}.1", "rank": 0, "stage": None, "stream": "out"}
                yield {**head, "key": key, "cursor": at}, data
            while follow_on and self._outcome(number) is None:
                self._changed.clear()
                await self._changed.wait()
            yield {"on": "end", "job": self.job(number)}, b""
        finally:
            (self._state / f"let-go-{number}").touch()

    async def file(self, number: int, rank: int, path: str) -> AsyncGenerator[bytes, None]:
        self.job(number)
        if path != "outputs/result" or rank:
            raise NotFound(f"job {number} has no file {path} on box1")
        for _ in range(3):
            yield b"\0\xff" * 100_000

    def output(self, number: int, attempt: int | None, stream: str, start: int, length: int) -> bytes:
        return output(self._lines(number))[start : start + length] if stream == "p0/out" else b""

    async def events(self, since: int) -> AsyncIterator[Record]:
        at = since
        while True:
            while at < len(self.asked):
                at += 1
                yield Record(at, 1000.0 + at, GoalSet(JobNumber(at), Goal.RUN, "me"))
            await asyncio.sleep(0.01)

    def names(self) -> View:
        return {
            "nodes": [(node["name"], "ready") for node in self.fleet.added],
            "jobs": [],
        }

    def overview(self) -> View:
        return {"schema": 1, "given": self.given, "agent": self.fleet.agent}

    def _lines(self, number: int) -> int:
        argv = self.asked[number - 1].task.argv
        return int(argv[1]) if argv[0] == "lines" else 0

    def _outcome(self, number: int) -> str | None:
        if self.asked[number - 1].task.argv[0] == "forever":
            return "stopped" if number in self.stopped else None
        return "failed" if self.asked[number - 1].task.argv[0] == "fail" else "succeeded"

    def _view(self, number: int, submission: Submission) -> View:
        outcome = self._outcome(number) if number else None
        code = submission.task.code
        return {
            "number": number,
            "name": submission.name,
            "user": submission.user,
            "phase": outcome or "running",
            "reason": "exit code 3" if outcome == "failed" else "",
            "command": list(submission.task.argv),
            "processes": 1,
            "attempts": [],
            "outcome": outcome,
            "exit_status": {"succeeded": 0, "failed": 3}.get(outcome or ""),
            "snapshot": {"root": code.root} if code else None,
        }


def main(argv: list[str]) -> int:
    folders = Folders(argv[argv.index("--state") + 1])
    if os.environ.get("TEST_REFUSE"):
        print("a line of the log before the end", file=sys.stderr, flush=True)
    return run(folders, _make)


def _make(folders: Folders) -> MemoryController:
    if os.environ.get("TEST_REFUSE"):
        raise NotFound("this server does not want to start", why="a test says so")
    if os.environ.get("TEST_SLOW_START"):
        time.sleep(float(os.environ["TEST_SLOW_START"]))
    return MemoryController(Path(folders.state))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
