"""Everything known now: unfinished jobs and nodes. Only `machine.fold` may change it; `check` states the invariants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from afield.errors import Fault
from afield.model.attempt import Attempt, Placement
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.model.node import Node


class InvariantBroken(Fault):
    """The world contradicts itself: a bug of ours."""

    code = "invariant-broken"


@dataclass(slots=True)
class World:
    """Unfinished jobs (and ended ones not yet acknowledged on their nodes), and all nodes.

    `seq` is the cursor of the last event folded in, `now` its time in UTC seconds.
    """

    jobs: dict[JobNumber, Job] = field(default_factory=dict)
    nodes: dict[NodeName, Node] = field(default_factory=dict)
    seq: int = 0
    now: float = 0.0

    def live(self) -> Iterator[Attempt]:
        """The attempts that hold what they were granted."""
        for job in self.jobs.values():
            if (attempt := job.live) is not None:
                yield attempt

    def held(self, node: NodeName) -> Iterator[Placement]:
        """What live attempts hold on a node."""
        for attempt in self.live():
            for placement in attempt.placements:
                if placement.node == node:
                    yield placement

    def check(self) -> None:
        """Raise InvariantBroken when something that must always hold does not."""
        for job in self.jobs.values():
            _check_job(job)
        granted: dict[tuple[NodeName, str], int] = {}
        slices: dict[str, JobNumber] = {}
        for attempt in self.live():
            for placement in attempt.placements:
                for device in placement.devices:
                    owner = granted.setdefault((placement.node, device), attempt.id.job)
                    if owner != attempt.id.job:
                        both = f"jobs {owner} and {attempt.id.job}"
                        raise InvariantBroken(f"{device} on {placement.node} granted to {both}")
                node = self.nodes.get(placement.node)
                if node is not None and node.slice:
                    holder = slices.setdefault(node.slice, attempt.id.job)
                    if holder != attempt.id.job:
                        raise InvariantBroken(f"slice {node.slice} held by jobs {holder} and {attempt.id.job}")


def _check_job(job: Job) -> None:
    numbers = [a.id.number for a in job.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        raise InvariantBroken(f"job {job.number}: attempts {numbers} have gaps")
    if any(a.live for a in job.attempts[:-1]):
        raise InvariantBroken(f"job {job.number}: two live attempts")
    for attempt in job.attempts:
        if attempt.live == (attempt.outcome is not None):
            raise InvariantBroken(f"attempt {attempt.id}: state {attempt.state}, outcome {attempt.outcome}")
        if attempt.live and attempt.acked:
            raise InvariantBroken(f"attempt {attempt.id}: an end is acknowledged, and it is {attempt.state}")
        ranks = [p.rank for p in attempt.placements]
        if ranks != list(range(len(ranks))):
            raise InvariantBroken(f"attempt {attempt.id}: ranks {ranks}")
        devices = [(p.node, d) for p in attempt.placements for d in p.devices]
        if len(devices) != len(set(devices)):
            raise InvariantBroken(f"attempt {attempt.id}: a device is granted twice")
    if job.decided is not None and job.live is not None:
        raise InvariantBroken(f"job {job.number} is decided and has a live attempt")
