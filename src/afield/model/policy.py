"""Policy: from what happened to what to do next, as a table (design: recovery)."""

from __future__ import annotations

from enum import StrEnum

from afield.model.attempt import Outcome


class Policy(StrEnum):
    """The named rows of the table."""

    PASS = "pass"
    RESUME = "resume"
    RERUN = "rerun"
    REAPPLY = "reapply"
    PRE = "pre"


class Next(StrEnum):
    """What follows an ended attempt."""

    END = "end"
    RESUME = "resume"
    START_OVER = "start_over"
    REAPPLY_RESUME = "reapply_resume"
    REAPPLY_START_OVER = "reapply_start_over"


_PREEMPTED = {
    Policy.PASS: Next.END,
    Policy.RESUME: Next.END,
    Policy.PRE: Next.REAPPLY_RESUME,
    Policy.REAPPLY: Next.REAPPLY_RESUME,
    Policy.RERUN: Next.REAPPLY_START_OVER,
}
_LOST = {
    Policy.PASS: Next.END,
    Policy.RESUME: Next.RESUME,
    Policy.PRE: Next.RESUME,
    Policy.REAPPLY: Next.REAPPLY_RESUME,
    Policy.RERUN: Next.START_OVER,
}


def after(policy: Policy, outcome: Outcome) -> Next:
    """What to do when an attempt ended so. A user's failure, stop or time limit always ends the job."""
    if outcome is Outcome.NEVER_STARTED:
        return Next.START_OVER
    if outcome is Outcome.PREEMPTED:
        return _PREEMPTED[policy]
    if outcome is Outcome.LOST:
        return _LOST[policy]
    return Next.END
