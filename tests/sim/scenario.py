"""What a seed stands for: nodes, jobs with programs, and which faults happen how often. Drawn anew for each seed.

Each seed switches a random subset of the kinds of faults on: many at once hide each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from afield.model.policy import Policy
from afield.model.request import DeviceAsk, ProcessGroup, Request
from afield.model.task import End, Task

ROLES = ("controller", "link", "clerk", "keeper", "shepherd", "both", "program")
TIMED = (
    "cut",
    "mute",
    "unreachable",
    "power cut",
    "reboot",
    "disk full",
    "store full",
    "clock",
    "pause",
    "clean",
    "upgrade",
    "slow keeper",
)


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """How the programs of a job behave; each is drawn from here."""

    lasts: float
    codes: tuple[int, ...]
    on_term: tuple[tuple[str, int], ...]
    chunks: int
    daemons: float
    unmarked: bool
    """Daemons empty their environment: of such only the tree's lock tells, where both watchers are gone."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One submission, and what its user does later."""

    key: str
    at: float
    task: Task
    request: Request
    policy: Policy
    nodes: tuple[str, ...]
    stop_at: float | None
    again: int


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates, and how often each kind is meant to happen."""

    pause: float
    split: float
    stall: float
    latency: float
    pieces: float
    twice: float
    late: float
    pids: int
    subreapers: bool
    kills: dict[str, int]
    timed: dict[str, int]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a seed decides at the start. `busy` is how long faults and users are at work, in seconds."""

    seed: int
    nodes: tuple[str, ...]
    devices: int
    jobs: tuple[JobPlan, ...]
    bodies: dict[str, BodyPlan] = field(default_factory=dict)
    busy: float = 30.0


def draw(seed: int) -> tuple[Scenario, Faults]:
    """The scenario of a seed."""
    dice = random.Random(seed)
    nodes = ("local", "b", "c")[: dice.choice((1, 1, 2, 2, 3))]
    busy = dice.uniform(2.0, 40.0)
    devices = dice.choice((0, 0, 1, 2))
    bodies: dict[str, BodyPlan] = {}
    count = dice.choice((1, 1, 1, 2, 2, 3, 4, 6))
    jobs = tuple(_job(dice, f"k{n}", (nodes, devices, busy), bodies) for n in range(count))
    return Scenario(seed, nodes, devices, jobs, bodies, busy), _faults(dice)


def _job(
    dice: random.Random, key: str, place: tuple[tuple[str, ...], int, float], bodies: dict[str, BodyPlan]
) -> JobPlan:
    nodes, devices, busy = place
    chance = dice.random
    # Nobody could end such a daemon once both watchers are killed: so nobody orders it.
    unmarked = chance() < 0.15
    bodies[key] = BodyPlan(
        lasts=dice.choice((0.05, 0.3, 1.0, 3.0, 8.0)),
        codes=(0,) if unmarked else dice.choice(((0,), (0,), (0,), (0, 0, 0, 3), (7,), (0, 1, 255))),
        on_term=dice.choice(((("die", 0),), (("exit", 0), ("exit", 5)), (("ignore", 0), ("die", 0)))),
        chunks=dice.choice((0, 1, 3, 6)),
        daemons=dice.choice((0.0, 0.0, 0.0, 0.5, 1.0)),
        unmarked=unmarked,
    )
    task = Task(
        argv=("body", key),
        setup=("stage", dice.choice("0001")) if chance() < 0.1 else (),
        preflight=("stage", dice.choice("0001")) if chance() < 0.1 else (),
        merge=chance() < 0.1,
        end=End.FIRST if chance() < 0.15 and not unmarked else End.ALL,
        grace_s=dice.choice((0.0, 0.2, 1.0, 5.0)),
    )
    policy = dice.choice((Policy.PASS, Policy.PASS, Policy.RERUN, Policy.RESUME))
    wanted = () if chance() < 0.6 else (dice.choice(nodes),)
    stop_at = dice.uniform(0.0, busy) if chance() < 0.3 and not unmarked else None
    request = Request((ProcessGroup(cpu=0.1),)) if unmarked else _request(dice, nodes, devices)
    if any(group.cpu == 3 and group.count > 1 for group in request.groups):
        wanted = ()
    again = dice.choice((0, 0, 0, 1, 2))
    return JobPlan(key, dice.uniform(0, busy * 0.7), task, request, policy, wanted, stop_at, again)


def _request(dice: random.Random, nodes: tuple[str, ...], devices: int) -> Request:
    limit = dice.choice((0.2, 1.0, 3.0)) if dice.random() < 0.12 else None
    draw = dice.random()
    if draw < 0.2 and len(nodes) > 1:
        return Request((ProcessGroup(count=2, cpu=3),), time_limit_s=limit)
    if draw < 0.35:
        return Request((ProcessGroup(count=2, cpu=0.1),), time_limit_s=limit)
    if draw < 0.5 and devices:
        return Request((ProcessGroup(devices=(DeviceAsk("gpu", 1),), cpu=0.1),), time_limit_s=limit)
    return Request((ProcessGroup(cpu=0.1),), time_limit_s=limit)


def _faults(dice: random.Random) -> Faults:
    chance = dice.random
    often = dice.choice((1, 1, 2, 4))

    def rate(on: float, *values: float) -> float:
        return dice.choice(values) if chance() < on else 0.0

    def counts(kinds: tuple[str, ...], on: float) -> dict[str, int]:
        return {kind: dice.randint(1, 2 * often) for kind in kinds if chance() < on}

    return Faults(
        pause=dice.choice((0.02, 0.1, 0.1, 0.3, 1.0)),
        split=rate(0.6, 0.1, 0.5),
        stall=rate(0.4, 0.002, 0.01, 0.05),
        latency=dice.choice((0.0002, 0.002, 0.02, 0.1)),
        pieces=rate(0.4, 0.05, 0.5),
        twice=rate(0.3, 0.1, 0.5),
        late=rate(0.2, 0.05, 0.3),
        pids=dice.choice((40, 60, 2000)),
        subreapers=chance() < 0.9,
        kills=counts(ROLES, 0.3),
        timed=counts(TIMED, 0.15),
    )
