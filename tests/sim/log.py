"""What the log of events itself must never show: an end said twice, a next attempt too soon, a gang that is torn."""

from __future__ import annotations

from collections.abc import Iterator

from afield.model import event as ev
from afield.model.attempt import Outcome
from afield.model.ids import AttemptId, JobNumber
from afield.model.world import World

ENDS = (ev.AttemptExited, ev.AttemptGone, ev.NeverStarted, ev.PrepareFailed)
PAUSES = {Outcome.NEVER_STARTED: 2.0, Outcome.LOST: 30.0, Outcome.PREEMPTED: 60.0}
"""The least time between the end of an attempt and the next one, in seconds."""


class Log:
    """Reads the events as they are committed; `read` gives sentences about what is wrong."""

    def __init__(self) -> None:
        self._ended: set[AttemptId] = set()
        self._decided: set[JobNumber] = set()
        self._released: dict[JobNumber, int] = {}

    def read(self, record: ev.Record, world: World) -> Iterator[str]:
        """Takes in one event; `world` has it already."""
        event = record.event
        if isinstance(event, ENDS):
            if event.attempt in self._ended:
                yield f"attempt {event.attempt} ends twice"
            self._ended.add(event.attempt)
        elif isinstance(event, ev.JobDecided):
            if event.job in self._decided:
                yield f"job {event.job} is decided twice"
            self._decided.add(event.job)
        elif isinstance(event, ev.JobReleased):
            self._released[event.job] = len(world.jobs[event.job].attempts) if event.job in world.jobs else 0
        elif isinstance(event, ev.AttemptPlaced) and event.attempt.job in world.jobs:
            yield from self._pause(event.attempt, world)

    def _pause(self, attempt: AttemptId, world: World) -> Iterator[str]:
        number = attempt.number - 2
        if number < 0 or self._released.get(attempt.job, 0) > number:
            return
        before, placed = world.jobs[attempt.job].attempts[number : number + 2]
        least = PAUSES.get(before.outcome or Outcome.SUCCEEDED, 0.0)
        if before.ended_at is not None and placed.placed_at < before.ended_at + least:
            waited = placed.placed_at - before.ended_at
            yield f"attempt {attempt} came {waited:.3f} s after one that was {before.outcome}"
