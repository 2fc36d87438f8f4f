"""Identities: what names a job, an attempt, a node, a tree."""

from __future__ import annotations

from typing import NamedTuple, NewType

JobNumber = NewType("JobNumber", int)
NodeName = NewType("NodeName", str)
TreeHash = NewType("TreeHash", str)
Nonce = NewType("Nonce", str)
"""128 random bits in hex, made with the intent: host files and all writes must carry it."""


class AttemptId(NamedTuple):
    """One try of a job; `str` gives the name of its run folder."""

    job: JobNumber
    number: int

    def __str__(self) -> str:
        return f"{self.job}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        """The identity that `str` wrote. Raises ValueError for anything else."""
        job, _, number = text.partition(".")
        return cls(JobNumber(int(job)), int(number))
