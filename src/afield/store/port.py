"""What every store gives. One contract suite holds for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from afield.model.event import Event, Record
from afield.model.ids import JobNumber
from afield.model.job import Job
from afield.model.world import World
from afield.store.draft import Draft


class Store(Protocol):
    """The log, the folded nouns beside it, and who is asking. All but `commit` may be called from the loop."""

    @property
    def id(self) -> str:
        """16 random hex digits, made once."""

    @property
    def incarnation(self) -> int:
        """Grows with every opening."""

    def load(self) -> World:
        """Unfinished jobs (undecided, or with an attempt that is not acknowledged) and all nodes."""

    def append(self, events: Sequence[Event], at: float, world: World) -> list[Record]:
        """Record events in one transaction and fold them into the world; all or none.

        Raises StoreRefused, IllegalMove and Conflict (a submit key is taken); nothing is recorded and the world is as
        before then.
        """

    def commit(self, draft: Draft) -> None:
        """Make a draft durable, in one transaction. Any thread, one at a time. Raises StoreRefused."""

    def records(self, since: int, limit: int = 1000) -> list[Record]:
        """The log after a cursor, oldest first."""

    def job(self, number: JobNumber) -> Job | None:
        """Any job, finished ones too."""

    def jobs(self, *, unfinished_only: bool = False, limit: int = 1000, before: int | None = None) -> list[Job]:
        """Newest first; `unfinished_only` leaves out decided ones, `before` is a number to page on from."""

    def by_key(self, user: str, key: str) -> tuple[JobNumber, str] | None:
        """The job that a submit key made, and the hash of what was submitted."""

    def next_job(self) -> JobNumber:
        """The lowest number above all jobs. Asking does not take it."""

    def backup(self, path: Path) -> None:
        """Write a copy that can be opened as a store. Raises StoreRefused, Conflict when something is there."""

    def close(self) -> None:
        """Let go of the store."""


def append(store: Store, events: Sequence[Event], at: float, world: World) -> list[Record]:
    """What `Store.append` does: draft, commit, publish."""
    if not events:
        return []
    draft = Draft(world, store)
    records = draft.add(events, at)
    store.commit(draft)
    draft.publish()
    return records


def unfinished(job: Job) -> bool:
    """Whether the controller still has something to do for it."""
    return job.decided is None or not all(a.acked for a in job.attempts)
