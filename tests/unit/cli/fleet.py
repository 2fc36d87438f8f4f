"""A fleet and its jobs as the API tells of them, for screens: always the same, at a moment that does not pass.

`python -m tests.unit.cli.fleet WORDS` is `afield WORDS` with this fleet behind it.
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from afield.errors import NotFound, Unreachable

View = dict[str, Any]
NOW = datetime(2026, 11, 21, 14, 0, 0, tzinfo=UTC).timestamp()


def before(**span: float) -> str:
    """So long before NOW, as the API writes it."""
    return (datetime.fromtimestamp(NOW, UTC) - timedelta(**span)).isoformat(timespec="milliseconds")


def job(number: int, phase: str, **changes: Any) -> View:
    """A job's view."""
    outcome = phase if phase not in ("queued", "starting", "running", "stopping") else None
    known = {
        "number": number,
        "name": "",
        "user": "ana",
        "phase": phase,
        "reason": "",
        "goal": "run",
        "command": ["train.py", "--lr", "3e-4"],
        "processes": 1,
        "nodes": [],
        "devices": {},
        "started_at": None,
        "ended_at": before(minutes=5) if outcome else None,
        "outcome": outcome,
        "silent": {},
        "progress": None,
    }
    return known | changes


def node(name: str, **changes: Any) -> View:
    """A node's view."""
    known = {"name": name, "health": "ready", "cpu": 16.0, "devices": [], "jobs": [], "detail": "", "hints": []}
    return (
        known
        | {"memory_bytes": 64 << 30, "disk_bytes": 1 << 40, "seen_at": before(seconds=1), "asked_at": before(seconds=1)}
        | changes
    )


def device(index: int, job: int | None = None, busy: str = "") -> View:
    """A device's view."""
    memory = 80 << 30
    return {"id": f"GPU-{index}", "model": "a100", "index": index, "memory_bytes": memory, "busy": busy, "job": job}


def nodes() -> list[View]:
    """Three machines: half in use, silent, without devices."""
    held = (
        [device(i, job=121) for i in range(3)] + [device(3, busy="pid 4711 of cy")] + [device(i) for i in range(4, 8)]
    )
    return [
        node("box2", devices=held, jobs=[121]),
        node("lab-server-in-the-cellar", health="unreachable", detail="no route to host", devices=[device(0, job=120)]),
        node("local", cpu=2.0, jobs=[118, 119]),
    ]


def jobs() -> list[View]:
    """Of each kind one, newest first; a name and a reason that are too long for narrow terminals."""
    silent = {"lab-server-in-the-cellar": 125.0}
    waits = "waits for 4 a100 on one node, held by job 121 (ana) and somebody else on box2"
    held = {"box2": ["GPU-0", "GPU-1", "GPU-2"]}
    far = {"done": 2800.0, "total": 10000.0, "at": before(seconds=1)}
    started = {"started_at": before(minutes=37), "nodes": ["box2"], "devices": held, "progress": far}
    return [
        job(123, "queued", reason=waits, command=["torchrun", "train.py"], user="cy"),
        job(122, "starting", name="gemma-sft", nodes=["local"]),
        job(121, "running", name="vit-base-with-all-the-augmentations-of-last-week", **started),
        job(120, "running", nodes=["lab-server-in-the-cellar"], started_at=before(hours=2), silent=silent),
        job(119, "stopping", nodes=["local"], goal="stop", started_at=before(seconds=42)),
        job(118, "failed", nodes=["local"], started_at=before(minutes=9), reason="exit code 1", name="tokenise 数据"),
        job(117, "succeeded", nodes=["local"], started_at=before(minutes=25), command=["sh", "-c", "echo\thi\x1b[2J"]),
    ]


LOG = b"".join(b"step %d  loss %.3f\n" % (i, 2 / (1 + i)) for i in range(40)) + b" 40%|####    |\r 50%|#####   |"


class Fleet:
    """What the live screen asks a client for; `happen` is an event, `error` the answer to everything."""

    def __init__(self) -> None:
        self.nodes, self.all, self.log = nodes(), jobs(), LOG
        if os.environ.get("FLEET") == "crowd":
            self.nodes += [node(f"idle{i}") for i in range(40)]
            self.all = [*(job(1000 + i, "queued", reason="waits for 8 a100") for i in range(200, 0, -1)), *self.all]
        self.error: Unreachable | None = None
        self.stopped: list[int] = []
        self.rerun_of: list[int] = []
        self._news: queue.SimpleQueue[View] = queue.SimpleQueue()

    def happen(self) -> None:
        """Something changed."""
        self._news.put({"seq": 1})

    def hello(self) -> View:
        """The cursor."""
        return self._told({"seq": 0})

    def overview(self) -> View:
        """The nodes."""
        return self._told({"nodes": list(self.nodes)})

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[View]:
        """The jobs."""
        self._told({})
        return [j for j in self.all if all or j["outcome"] is None][:limit]

    def events(self, since: int = 0) -> Generator[View, None, None]:
        """What happens."""
        while True:
            yield self._news.get()

    def follow(
        self, number: int, cursors: dict[str, int] | None = None, *, stay: bool = True, tail: int | None = None
    ) -> Iterator[tuple[View, bytes]]:
        """The log of job 121; the others have none."""
        view = next(j for j in self.all if j["number"] == number)
        key = f"{number}.1/p0/out"
        cursors = {} if cursors is None else cursors
        at = cursors.get(key, max(0, len(self.log) - (tail or 0)))
        if number == 121 and self.log[at:]:
            cursors[key] = len(self.log)
            yield {"on": "out", "rank": 0, "stream": "out", "key": key, "cursor": len(self.log)}, self.log[at:]
        yield {"on": "end", "job": view}, b""

    def why(self, number: int) -> View:
        """The reason in a few lines."""
        view = next(j for j in self.all if j["number"] == number)
        lines = ["waits for 4 a100 on one node", "box2: 4 of 8 free"]
        return {"job": number, "view": view, "reason": lines[0], "lines": lines, "would_start": ["the end of job 121"]}

    def stop(self, number: int) -> View:
        """Remembered."""
        self.stopped.append(number)
        view = next(j for j in self.all if j["number"] == number)
        view["goal"] = "stop"
        self.happen()
        return view

    def rerun(self, number: int) -> View:
        """One more job, the same as that one."""
        self._told({})
        self.rerun_of.append(number)
        old = next(j for j in self.all if j["number"] == number)
        new = job(1 + max(j["number"] for j in self.all), "queued", name=old["name"], command=old["command"])
        self.all.insert(0, new)
        self.happen()
        return new

    def job_shell(self, number: int) -> View:
        """A command that is not run here."""
        view = next(j for j in self.all if j["number"] == number)
        if not view["nodes"]:
            raise NotFound(f"job {number} is on no node yet", hints=[f"afield why {number}"])
        return {"argv": ["ssh", "-t", view["nodes"][0], "shell"], "node": view["nodes"][0]}

    def _told(self, view: View) -> View:
        if self.error is not None:
            raise self.error
        return view


if __name__ == "__main__":
    from afield.cli import context
    from afield.cli.app import run

    context.client = Fleet  # type: ignore[assignment]
    time.time = lambda: NOW
    sys.exit(run(sys.argv[1:]))
