"""Independent truth about jobs, and pure checkers that hold what afield says against it.

A ledger is written by the bodies of jobs, or by a simulated kernel: never by afield, which never reads it either. The
checkers take plain values, so that a simulator and tests with real processes share them. A checker gives sentences;
none is what one hopes for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM

from afield.model.attempt import Attempt, Outcome
from afield.model.job import Goal, Job

SLACK_S = 1e-6


@dataclass(slots=True)
class Run:
    """One process of a job as its ledger has it; `kind` is program, daemon or stage, times are seconds of one clock.

    `ended` is None where nobody saw the end. `wrote` are the bytes that the file system took, by stream.
    """

    job: int
    attempt: int
    rank: int
    node: str
    kind: str = "program"
    began: float = 0.0
    ended: float | None = None
    code: int | None = None
    signal: int | None = None
    wrote: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blow:
    """Something was done to a node; `what` is keeper, shepherd, program or reboot; no attempt means all of them."""

    at: float
    node: str
    what: str
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """One mirrored stream: the bytes, and its gaps as {"at", "from", "to", "why"}."""

    data: bytes
    gaps: tuple[dict[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """One submission as its sender knows it: `number` is None while no answer has come."""

    key: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All that is known at the end. `clock` says what to add to a time of the ledger to have UTC seconds."""

    jobs: Sequence[Job]
    runs: Sequence[Run]
    blows: Sequence[Blow] = ()
    asked: Sequence[Asked] = ()
    output: dict[tuple[int, int, int, str], Held] = field(default_factory=dict)
    clock: float = 0.0


def faults(history: History) -> list[str]:
    """Everything that is wrong."""
    found = list(_submissions(history))
    for job in history.jobs:
        mine = [r for r in history.runs if r.job == job.number]
        found += [f"job {job.number}: {said}" for said in _job(history, job, mine)]
    return found


def _submissions(history: History) -> Iterator[str]:
    for asked in history.asked:
        numbers = [job.number for job in history.jobs if job.key == asked.key]
        if len(numbers) > 1:
            yield f"key {asked.key} made jobs {numbers}"
        if asked.number is not None and numbers != [asked.number]:
            yield f"key {asked.key} was answered with job {asked.number}, the store has {numbers}"


def _job(history: History, job: Job, runs: list[Run]) -> Iterator[str]:
    if job.decided is None:
        yield f"has no end: {job.phase}, hold {job.hold!r}, attempts {[_said(a) for a in job.attempts]}"
        return
    numbers = {a.id.number for a in job.attempts}
    for run in runs:
        if run.attempt not in numbers:
            yield f"attempt {run.attempt} ran and is not known"
    last = job.last
    if last is not None and last.outcome is not job.decided and job.goal is not Goal.STOP:
        yield f"ended {job.decided}, its last attempt {last.outcome}"
    if job.decided is Outcome.NEVER_STARTED or (job.decided is Outcome.STOPPED and job.goal is not Goal.STOP):
        yield f"ended {job.decided} without being asked to"
    for attempt in job.attempts:
        mine = [r for r in runs if r.attempt == attempt.id.number]
        for said in _attempt(history, job, attempt, mine):
            yield f"attempt {attempt.id.number} ({attempt.outcome}): {said}"
    yield from _overlaps(runs)


def _said(attempt: Attempt) -> str:
    return f"{attempt.id.number} {attempt.state} {attempt.outcome or ''}"


def _overlaps(runs: list[Run]) -> Iterator[str]:
    """Two attempts of a job never run at the same time, daemons included."""
    for one in runs:
        for other in runs:
            if one.attempt < other.attempt and (one.ended is None or one.ended > other.began + SLACK_S):
                first = f"{one.kind} of attempt {one.attempt} ran until {one.ended}"
                yield f"{first}, attempt {other.attempt} from {other.began}"


def _attempt(history: History, job: Job, attempt: Attempt, runs: list[Run]) -> Iterator[str]:
    if attempt.outcome is None:
        yield f"is {attempt.state} although the job has ended"
        return
    programs = {r.rank: r for r in runs if r.kind == "program"}
    if len(programs) < sum(r.kind == "program" for r in runs):
        yield f"a program ran more than once: {sorted((r.rank, r.began) for r in runs if r.kind == 'program')}"
    yield from _exits(attempt, programs)
    yield from _outcome(job, attempt, programs)
    yield from _silence(history, attempt, runs)
    if attempt.outcome is Outcome.LOST and len({e.rank for e in attempt.exits}) == len(attempt.placements):
        yield f"lost, and all its exits are known: {[e.status for e in attempt.exits]}"
    if attempt.outcome is Outcome.LOST and not (len(attempt.nodes) > 1 and 0 < len(programs) < len(attempt.placements)):
        yield from _lost(history, attempt)  # a gang of which a part never started is lost by its own rules
    yield from _signals(history, job, attempt, programs)
    yield from _output(history, attempt, programs)


def _exits(attempt: Attempt, programs: dict[int, Run]) -> Iterator[str]:
    for exited in attempt.exits:
        run = programs.get(exited.rank)
        if run is None:
            if exited.signal is None:
                yield f"rank {exited.rank} exited {exited.code} and never ran"
        elif run.ended is None:
            continue
        elif (exited.code, exited.signal) != (run.code, run.signal):
            yield f"rank {exited.rank} exited {exited.code}/{exited.signal}, in truth {run.code}/{run.signal}"


def _outcome(job: Job, attempt: Attempt, programs: dict[int, Run]) -> Iterator[str]:
    outcome = attempt.outcome
    ends = {rank: (run.code if run.signal is None else 128 + run.signal) for rank, run in programs.items()}
    # A stranger may kill a process before it has run its first step: an end that no ledger has.
    unseen = [e for e in attempt.exits if e.rank not in programs and e.signal is not None]
    ends |= {e.rank: e.status for e in unseen}
    ranks = {p.rank for p in attempt.placements}
    if outcome is Outcome.SUCCEEDED and str(job.task.end) == "all" and (set(ends) != ranks or any(ends.values())):
        yield f"the programs ended {ends}"
    if outcome is Outcome.FAILED and programs and not any(ends.values()):
        yield f"the programs ended {ends}"
    if outcome in (Outcome.SUCCEEDED, Outcome.FAILED) and not programs and not attempt.exits:
        yield "no program ran"
    if outcome in (Outcome.NEVER_STARTED, Outcome.SETUP_FAILED) and programs:
        yield f"programs ran: {ends}"
    if outcome is Outcome.STOPPED and job.goal is not Goal.STOP:
        yield "nobody asked for a stop"
    if outcome is Outcome.TIMED_OUT and job.request.time_limit_s is None:
        yield "it has no time limit"
    if outcome is Outcome.FAILED and attempt.exit_status and programs and attempt.exit_status not in ends.values():
        yield f"exit status {attempt.exit_status}, the programs ended {ends}"


def _silence(history: History, attempt: Attempt, runs: list[Run]) -> Iterator[str]:
    """What has ended runs no more."""
    over = (attempt.ended_at or 0.0) - history.clock
    for run in runs:
        if run.ended is None or run.ended > over + SLACK_S:
            yield f"ended at {over:.3f}, its {run.kind} {run.rank} on {run.node} ran until {run.ended}"


def _lost(history: History, attempt: Attempt) -> Iterator[str]:
    """`lost` needs a reboot, or two kills of watchers; one where several programs or nodes were half started."""
    begin, end = attempt.placed_at - history.clock, (attempt.ended_at or 0.0) - history.clock
    mine = [b for b in history.blows if b.node in attempt.nodes and begin - SLACK_S <= b.at <= end + SLACK_S]
    mine = [b for b in mine if b.attempt in ("", str(attempt.id))]
    if attempt.detail.endswith("both watchers were killed") and not any(b.what in ("keeper", "shepherd") for b in mine):
        yield f"{attempt.detail!r}, and nobody was killed there"
    if any(b.what == "reboot" for b in mine):
        return
    if attempt.detail.endswith("reboot"):
        yield f"{attempt.detail!r}, and no node of it was rebooted"
    killed = {b.what for b in mine} & {"keeper", "shepherd"}
    if len(killed) < (2 if len(attempt.placements) == 1 else 1):
        yield f"{attempt.detail!r}, and all that was done to its nodes is {[(b.what, round(b.at, 3)) for b in mine]}"


def _signals(history: History, job: Job, attempt: Attempt, programs: dict[int, Run]) -> Iterator[str]:
    """Nobody ends a program that is alone in its attempt but a stop, a time limit, a stranger or a reboot."""
    if job.goal is Goal.STOP or job.request.time_limit_s is not None or len(attempt.placements) != 1:
        return
    for run in programs.values():
        struck = [b for b in history.blows if b.node == run.node and b.what in ("program", "reboot")]
        if run.signal in (SIGTERM, SIGKILL) and not any(b.attempt in ("", str(attempt.id)) for b in struck):
            yield f"its program was ended by signal {run.signal}, which nobody had a reason to send"


def _output(history: History, attempt: Attempt, programs: dict[int, Run]) -> Iterator[str]:
    begin = attempt.placed_at - history.clock
    for rank, run in programs.items():
        cut = any(b.what == "reboot" and b.node == run.node and b.at >= begin for b in history.blows)
        for stream, wrote in run.wrote.items():
            held = history.output.get((attempt.id.job, attempt.id.number, rank, stream), Held(b""))
            if (said := differs(wrote, held, cut)) and attempt.acked:
                yield f"p{rank}/{stream}: {said}"
            if held.gaps and not cut:
                yield f"p{rank}/{stream}: nothing explains the gaps {held.gaps}"


def differs(wrote: bytes, held: Held, cut: bool = False) -> str:
    """What is wrong with a mirrored stream; "" when each byte is there or its gap is marked.

    `cut` says that the node lost power, and with it perhaps the end of the file, of which we may have seen more.
    """
    at = begin = 0
    pieces = []
    for gap in held.gaps:
        pieces.append((begin, held.data[at : int(str(gap["at"]))]))
        at, begin = int(str(gap["at"])), int(str(gap["to"]))
    pieces.append((begin, held.data[at:]))
    if cut and held.gaps:
        return ""
    for start, data in pieces:
        if wrote[start : start + len(data)] != data:
            return f"other bytes at {start}: {data[:40]!r}"
    end = pieces[-1][0] + len(pieces[-1][1])
    if end < len(wrote) and not cut:
        return f"{len(wrote)} bytes were written, {end} are here, gaps {held.gaps}"
    return ""
