"""Every fact that can be recorded. Events are appended once and never change."""

from __future__ import annotations

from dataclasses import dataclass

from afield.model.attempt import Exited, Outcome, Placement, Why
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.job import Goal
from afield.model.node import Capacity, Health
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """A job was accepted; its number is promised from here on."""

    job: JobNumber
    key: str
    body: str
    """Hash of the submission: the same key with another body is refused."""
    name: str
    user: str
    task: Task
    request: Request
    policy: Policy
    priority: int = 0
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoalSet:
    """Somebody wants the job to run or to stop."""

    job: JobNumber
    goal: Goal
    by: str


@dataclass(frozen=True, slots=True)
class JobHeld:
    """The job is not placed, for a reason; until a time or until a person releases it (`until` None)."""

    job: JobNumber
    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class JobReleased:
    """The hold was lifted."""

    job: JobNumber
    by: str


@dataclass(frozen=True, slots=True)
class JobDecided:
    """No further attempt will come: the job's end. Never changes."""

    job: JobNumber
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AttemptPlaced:
    """The intent: nonce and grants are durable before anything touches a node."""

    attempt: AttemptId
    nonce: Nonce
    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class PrepareStarted:
    """Code and environment are on their way to the nodes."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """Code, environment, setup or preflight failed; `stage` says which, `detail` quotes the tool's last lines."""

    attempt: AttemptId
    stage: str
    detail: str
    exits: tuple[Exited, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """All processes have started; `evidence` is a digest of their marks."""

    attempt: AttemptId
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class StopOrdered:
    """We decided to stop the attempt; the first reason stands."""

    attempt: AttemptId
    why: Why


@dataclass(frozen=True, slots=True)
class AttemptExited:
    """All processes have ended and nothing is left of them.

    `by_us` says that they ended after our signal (the shepherd's own time limit and first-failure stop included, then
    `why` is set); `cause` is the rank whose failure started it; `survivors` names what outlived a normal end.
    """

    attempt: AttemptId
    exits: tuple[Exited, ...]
    by_us: bool = False
    why: Why | None = None
    cause: int | None = None
    survivors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeverStarted:
    """Proof that no program ran: sealed folder, or a device held by someone else."""

    attempt: AttemptId
    evidence: str


@dataclass(frozen=True, slots=True)
class AttemptGone:
    """Proof that the attempt is dead without an exit status: reboot, both watchers killed, node deleted."""

    attempt: AttemptId
    preempted: bool
    evidence: str
    exits: tuple[Exited, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptAcked:
    """The nodes were told that the store has the end; their folders may be collected."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A node became known."""

    node: NodeName
    backend: str
    target: str = ""
    address: str = ""
    slice: str = ""
    preemptible: bool = False


@dataclass(frozen=True, slots=True)
class NodeSet:
    """A person changed what we believe of a node: declared devices (model, count), address, drain."""

    node: NodeName
    declared: tuple[tuple[str, int], ...] | None = None
    address: str | None = None
    drained: bool | None = None


@dataclass(frozen=True, slots=True)
class NodeObserved:
    """News about a node, never about a job. `capacity` is None when only the health is known."""

    node: NodeName
    health: Health
    detail: str = ""
    hints: tuple[str, ...] = ()
    capacity: Capacity | None = None
    boot_id: str = ""
    machine_id: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node is forgotten."""

    node: NodeName


Event = (
    JobSubmitted
    | GoalSet
    | JobHeld
    | JobReleased
    | JobDecided
    | AttemptPlaced
    | PrepareStarted
    | PrepareFailed
    | AttemptStarted
    | StopOrdered
    | AttemptExited
    | NeverStarted
    | AttemptGone
    | AttemptAcked
    | NodeAdded
    | NodeSet
    | NodeObserved
    | NodeRemoved
)


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the log: its sequence number (the cursor), and when it was appended in UTC seconds."""

    seq: int
    at: float
    event: Event
