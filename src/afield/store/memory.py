"""A store in memory, for tests and the simulator: durable at the granularity of a commit."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from pathlib import Path

from afield.errors import Conflict, Fault, StoreRefused
from afield.model.event import Event, Record
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.model.node import Node
from afield.model.world import World
from afield.store import port
from afield.store.draft import Draft


class MemoryStore:
    """A store that outlives what uses it by `reopened`. With `full` set it refuses to commit, like a full disk."""

    def __init__(self, store_id: str = "") -> None:
        self.id = store_id or secrets.token_hex(8)
        self.incarnation = 1
        self.full = False
        self._log: list[Record] = []
        self._jobs: dict[JobNumber, Job] = {}
        self._nodes: dict[NodeName, Node] = {}
        self._keys: dict[tuple[str, str], tuple[JobNumber, str]] = {}
        self._backups: dict[Path, MemoryStore] = {}

    def reopened(self) -> MemoryStore:
        """The store as it is found after its process died: what was committed, a new incarnation."""
        other = copy.copy(self)
        other.incarnation += 1
        return other

    def load(self) -> World:
        """See Store."""
        jobs = {n: self._jobs[n] for n in sorted(self._jobs) if port.unfinished(self._jobs[n])}
        last = self._log[-1] if self._log else None
        return World(jobs, dict(self._nodes), last.seq if last else 0, last.at if last else 0.0)

    def append(self, events: Sequence[Event], at: float, world: World) -> list[Record]:
        """See Store."""
        return port.append(self, events, at, world)

    def commit(self, draft: Draft) -> None:
        """See Store."""
        if draft.after != len(self._log):
            raise Fault(f"the world is at event {draft.after}, the store at {len(self._log)}")
        if self.full:
            raise StoreRefused("disk full: the store cannot be written", why="this store was told to be full")
        self._log += draft.records
        self._jobs.update({n: j for n, j in draft.jobs.items() if j is not None})
        self._keys.update({(e.user, e.key): (e.job, e.body) for e in draft.submitted})
        for name, node in draft.nodes.items():
            if node is None:
                self._nodes.pop(name, None)
            else:
                self._nodes[name] = node

    def records(self, since: int, limit: int = 1000) -> list[Record]:
        """See Store."""
        return self._log[max(0, since) : max(0, since) + limit]

    def job(self, number: JobNumber) -> Job | None:
        """See Store."""
        return self._jobs.get(number)

    def jobs(self, *, unfinished_only: bool = False, limit: int = 1000, before: int | None = None) -> list[Job]:
        """See Store."""
        newest = (self._jobs[n] for n in sorted(self._jobs, reverse=True) if before is None or n < before)
        return [j for j in newest if not unfinished_only or j.decided is None][:limit]

    def by_key(self, user: str, key: str) -> tuple[JobNumber, str] | None:
        """See Store."""
        return self._keys.get((user, key))

    def next_job(self) -> JobNumber:
        """See Store."""
        return JobNumber(max(self._jobs, default=0) + 1)

    def backup(self, path: Path) -> None:
        """Keep a copy in memory; `backed_up` gives it."""
        if path in self._backups:
            raise Conflict(f"{path} exists already", hints=["name another file"])
        self._backups[path] = copied = copy.copy(self)
        copied._log, copied._jobs = list(self._log), dict(self._jobs)
        copied._nodes, copied._keys = dict(self._nodes), dict(self._keys)

    def backed_up(self, path: Path) -> MemoryStore:
        """The copy that `backup` made, opened."""
        return self._backups[path].reopened()

    def close(self) -> None:
        """Nothing to let go of."""
