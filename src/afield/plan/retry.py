"""What follows an ended attempt: budgets, backoff, poison. The same history gives the same answer, jitter included."""

from __future__ import annotations

from dataclasses import dataclass

from afield.model.attempt import Attempt, Outcome
from afield.model.ids import AttemptId
from afield.model.job import Goal, Job
from afield.model.policy import Next, Policy, after

FAULT_BUDGET = 5
FAULT_WINDOW_S = 24 * 3600.0
NEVER_STARTED_LIMIT = 5
POISON_ENDS = 3
POISON_S = 60.0

NEVER_STARTED_S = 2.0
FAULT_S = 30.0
PREEMPTED_S = 60.0
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Over:
    """No further attempt: the job ends so."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Held:
    """A person must look at it first."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, not before `at` (UTC seconds)."""

    at: float
    reason: str


def judge(job: Job) -> Over | Held | Again | None:
    """What follows the job's last attempt; None before the first. The job waits and is not decided."""
    last = job.last
    if last is None or last.outcome is None:
        return Over(Outcome.STOPPED) if job.goal is Goal.STOP else None
    if after(job.policy, last.outcome) is Next.END:
        return Over(last.outcome)
    if job.goal is Goal.STOP:
        return Over(Outcome.STOPPED)
    if last.id.number <= job.forgiven:
        return Again(0.0, "released")
    counted = [a for a in job.attempts if a.id.number > job.forgiven]
    if reason := _poison(job.policy, counted) or _spent(counted):
        return Held(reason)
    return _backoff(last, counted)


def preferred(job: Job) -> tuple[frozenset[str], frozenset[str]]:
    """(nodes to try first, nodes to try last) for the next attempt.

    One that goes on where the last one was finds its files there; one that never started may have met a bad node.
    """
    last = job.last
    if last is None or last.outcome is None or last.id.number <= job.forgiven:
        return frozenset(), frozenset()
    if last.outcome is Outcome.NEVER_STARTED:
        return frozenset(), frozenset(last.nodes)
    if after(job.policy, last.outcome) in (Next.RESUME, Next.REAPPLY_RESUME):
        return frozenset(last.nodes), frozenset()
    return frozenset(), frozenset()


def jitter(attempt: AttemptId) -> float:
    """A number in [0, 1) that differs from attempt to attempt and is always the same for one."""
    mixed = (attempt.job * 2654435761 + attempt.number * 2246822519) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 13)) & 0xFFFFFFFF) / 2**32


def _backoff(last: Attempt, counted: list[Attempt]) -> Again:
    run = 0
    for attempt in reversed(counted):
        if attempt.outcome is not last.outcome:
            break
        run += 1
    if last.outcome is Outcome.PREEMPTED:
        wait = PREEMPTED_S
    else:
        base = NEVER_STARTED_S if last.outcome is Outcome.NEVER_STARTED else FAULT_S
        wait = min(LONGEST_S, base * 2.0 ** min(run - 1, 16))
    wait *= 1 + jitter(last.id) / 4
    said = str(last.outcome).replace("_", " ")
    reason = f"attempt {last.id.number} {'was ' if last.outcome is not Outcome.NEVER_STARTED else ''}{said}"
    return Again((last.ended_at or 0.0) + wait, f"{reason}: {last.detail}" if last.detail else reason)


def _poison(policy: Policy, counted: list[Attempt]) -> str:
    ends = counted[-POISON_ENDS:]
    if policy is Policy.PASS or len(ends) < POISON_ENDS or not all(_short(a) for a in ends):
        return ""
    return f"{POISON_ENDS} attempts in a row ended within {POISON_S:.0f} s of their start{_detail(ends[-1])}"


def _short(attempt: Attempt) -> bool:
    started, ended = attempt.started_at, attempt.ended_at
    return started is not None and ended is not None and ended - started <= POISON_S


def _spent(counted: list[Attempt]) -> str:
    last = counted[-1]
    if last.outcome is Outcome.NEVER_STARTED:
        run = counted[-NEVER_STARTED_LIMIT:]
        if len(run) == NEVER_STARTED_LIMIT and all(a.outcome is Outcome.NEVER_STARTED for a in run):
            return f"{NEVER_STARTED_LIMIT} attempts in a row never started{_detail(last)}"
    if last.outcome is Outcome.LOST:
        since = (last.ended_at or 0.0) - FAULT_WINDOW_S
        lost = [a for a in counted if a.outcome is Outcome.LOST and (a.ended_at or 0.0) >= since]
        if len(lost) > FAULT_BUDGET:
            return f"lost {len(lost)} times within 24 h, {FAULT_BUDGET} is the budget{_detail(last)}"
    return ""


def _detail(attempt: Attempt) -> str:
    return f"; the last: {attempt.detail}" if attempt.detail else ""
