"""One try of a job on named nodes."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from afield.model.ids import AttemptId, NodeName, Nonce


class State(StrEnum):
    """Where an attempt stands; moves are data in `machine.TABLE`."""

    PLACED = "placed"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    LOST = "lost"
    SETUP_FAILED = "setup_failed"
    NEVER_STARTED = "never_started"


class Why(StrEnum):
    """Why we ordered a stop; names the outcome that follows."""

    USER = "user"
    TIME_LIMIT = "time_limit"
    PREEMPTED = "preempted"
    FAILURE = "failure"
    END_FIRST = "end_first"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one process runs. `rank` is flat over the attempt, `devices` are the node's device ids."""

    rank: int
    group: int
    index: int
    node: NodeName
    devices: tuple[str, ...] = ()
    cpu: float = 1.0
    cpu_asked: bool = False
    memory_bytes: int = 0
    disk_bytes: int = 0


def signal_name(number: int | None) -> str:
    """SIGSEGV for 11; "signal 40" where the number has no name."""
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class Exited:
    """How one process ended: an exit code, or the signal that killed it.

    `evidence` says, for a signal that nobody here sent, what the node knows of its origin.
    """

    rank: int
    code: int | None = None
    signal: int | None = None
    evidence: str = ""

    @property
    def status(self) -> int:
        """The shell's view: the code, or 128 + signal."""
        if self.code is not None:
            return self.code
        return 128 + (self.signal or 0)

    @property
    def how(self) -> str:
        """In words: the exit code, or the signal by its name."""
        if self.code is not None:
            return f"exit code {self.code}"
        said = f"killed by {signal_name(self.signal)}"
        return f"{said}; {self.evidence}" if self.evidence else said


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `why` is set while and after we stop it; `cause` is the rank whose failure ended it.

    `signalled` says that processes ended after our signal and not before it. Times are UTC seconds.
    """

    id: AttemptId
    nonce: Nonce
    placements: tuple[Placement, ...]
    placed_at: float
    state: State = State.PLACED
    why: Why | None = None
    outcome: Outcome | None = None
    exits: tuple[Exited, ...] = ()
    cause: int | None = None
    detail: str = ""
    survivors: tuple[str, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    acked: bool = False
    story: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it still holds what it was granted."""
        return self.state is not State.ENDED

    @property
    def nodes(self) -> tuple[NodeName, ...]:
        """The nodes it runs on, each once, in order of the lowest rank."""
        return tuple(dict.fromkeys(p.node for p in self.placements))

    @property
    def exit_status(self) -> int | None:
        """The exit status of the process that decided the outcome; None while unknown."""
        if not self.exits:
            return None
        by_rank = {e.rank: e for e in self.exits}
        if self.cause is not None and self.cause in by_rank:
            return by_rank[self.cause].status
        failed = [e.status for e in self.exits if e.status]
        return failed[0] if failed else 0
