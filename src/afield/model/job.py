"""One submission: task, request, goal and policy; the phase that people see is computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from afield.model.attempt import Attempt, Outcome, State
from afield.model.ids import JobNumber
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task


class Goal(StrEnum):
    """What the user wants of a job."""

    RUN = "run"
    STOP = "stop"


class Phase(StrEnum):
    """What people see: computed from goal and attempts, never stored as truth."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    LOST = "lost"
    SETUP_FAILED = "setup_failed"


ENDS = frozenset(Phase) - {Phase.QUEUED, Phase.STARTING, Phase.RUNNING, Phase.STOPPING}


@dataclass(frozen=True, slots=True)
class Job:
    """One submission. `decided` is the outcome once no further attempt will come; it never changes.

    `hold` is the reason why it is not placed although it waits; `not_before` is a backoff in UTC seconds. Attempts up
    to number `forgiven` count against no budget any more: a person released the job after them.
    """

    number: JobNumber
    key: str
    name: str
    user: str
    task: Task
    request: Request
    policy: Policy
    submitted_at: float
    priority: int = 0
    nodes: tuple[str, ...] = ()
    goal: Goal = Goal.RUN
    attempts: tuple[Attempt, ...] = ()
    hold: str = ""
    not_before: float = 0.0
    forgiven: int = 0
    decided: Outcome | None = None
    ended_at: float | None = None

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> Attempt | None:
        """The one attempt that has not ended, if any."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].live else None

    @property
    def waiting(self) -> bool:
        """Whether it wants a place and has none."""
        return self.decided is None and self.live is None

    @property
    def phase(self) -> Phase:
        """What people see."""
        if self.decided is not None:
            return Phase(self.decided.value)
        attempt = self.live
        if attempt is None:
            return Phase.QUEUED
        if attempt.state is State.STOPPING or self.goal is Goal.STOP:
            return Phase.STOPPING
        return Phase.RUNNING if attempt.state is State.RUNNING else Phase.STARTING
