"""Every order that a plan can give. Performing one twice does no harm: its key is what it names."""

from __future__ import annotations

from dataclasses import dataclass

from afield.model.attempt import Outcome, Placement, Why
from afield.model.ids import AttemptId, JobNumber
from afield.model.request import Request


@dataclass(frozen=True, slots=True)
class Place:
    """Grant these placements to a new attempt."""

    attempt: AttemptId
    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """Bring code and environment to the nodes and start the attempt there; the runner answers "already"."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class OrderStop:
    """Record that the attempt is to stop, and why."""

    attempt: AttemptId
    why: Why


@dataclass(frozen=True, slots=True)
class Stop:
    """Carry the recorded stop to the nodes."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Ack:
    """Tell the nodes that the end is recorded."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Decide:
    """Record that the job is over."""

    job: JobNumber
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Hold:
    """Do not place the job, with a reason, until a time or until a person says so."""

    job: JobNumber
    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask a backend for a slice for a job."""

    job: JobNumber
    backend: str
    request: Request


@dataclass(frozen=True, slots=True)
class Release:
    """Give a slice back."""

    slice: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Look again at this time (UTC seconds)."""

    at: float


Action = Place | Launch | OrderStop | Stop | Ack | Decide | Hold | Acquire | Release | Wake
