"""What the simulator looks at more closely: `swarm` draws as always, the others draw some things more often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from afield.model.attempt import Outcome
from afield.model.policy import Policy
from afield.model.request import ProcessGroup, Request
from afield.model.task import End
from tests.sim.scenario import BodyPlan, JobPlan
from tests.sim.world import World

CALM: dict[str, Any] = {
    "stall": 0.0,
    "pieces": 0.0,
    "late": 0.0,
    "latency": 0.002,
    "pause": 0.1,
    "kills": {},
    "timed": {},
}
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Focus:
    """Faults in place of the drawn ones (see tests/sim/scenario.py), and a change to what is run."""

    faults: dict[str, Any] | None = None
    shape: Callable[[World], None] = lambda world: None
    look: Callable[[World], list[str]] = lambda world: []
    patience_s: float = 4 * 3600.0
    """How long everything may take to come to its end, once faults have stopped."""
    most: int = 100
    """So many schedules are run at most: all that is planted for it is found well before."""


def _each(job: Callable[[JobPlan], JobPlan], body: Callable[[BodyPlan, JobPlan], BodyPlan]) -> Callable[[World], None]:
    """A change to every job and to its programs."""

    def shape(world: World) -> None:
        jobs = tuple(job(plan) for plan in world.scenario.jobs)
        for plan in jobs:
            world.scenario.bodies[plan.key] = body(world.scenario.bodies[plan.key], plan)
        world.scenario = replace(world.scenario, jobs=jobs)

    return shape


def _same(plan: JobPlan) -> JobPlan:
    return plan


def _body(plan: BodyPlan, _: JobPlan) -> BodyPlan:
    return plan


def _long(plan: BodyPlan, job: JobPlan) -> BodyPlan:
    """Of a job that is to be stopped only the order tells when it ends."""
    return plan if job.stop_at is None else replace(plan, lasts=1e6, daemons=0.0)


def _limited(plan: JobPlan) -> JobPlan:
    request = Request((ProcessGroup(cpu=0.1),), time_limit_s=LIMIT_S)
    return replace(plan, request=request, stop_at=None, nodes=(), task=replace(plan.task, setup=(), preflight=()))


def _overrun(world: World) -> list[str]:
    """Programs that ran much longer than they may, although their keeper was there all the time."""
    grace = {plan.key: plan.task.grace_s for plan in world.scenario.jobs}
    most = LIMIT_S + max(grace.values()) + 3.0
    ran = [
        (f"{r.job}.{r.attempt}", r.ended - r.began) for r in world.runs if r.kind == "program" and r.ended is not None
    ]
    return [f"{name} ran for {seconds:.1f} s" for name, seconds in ran if seconds > most]


def _gang(plan: JobPlan) -> JobPlan:
    request = Request((ProcessGroup(count=2, cpu=3),))
    task = replace(plan.task, end=End.ALL, setup=(), preflight=())
    return replace(plan, request=request, nodes=(), stop_at=None, policy=Policy.RERUN, task=task)


def _gangs(world: World) -> None:
    if len(world.scenario.nodes) > 1:
        _each(_gang, lambda body, _: replace(body, unmarked=False, codes=(0,), lasts=15.0, daemons=0.0))(world)


def _unfailing(world: World) -> list[str]:
    """Gangs whose programs never fail, and which failed."""
    jobs = world.host.store.jobs() if len(world.scenario.nodes) > 1 else []
    failed = [a for j in jobs for a in j.attempts if a.outcome is Outcome.FAILED]
    return [f"attempt {a.id} failed, and its programs never fail" for a in failed]


def _daemons(plan: JobPlan) -> JobPlan:
    request = Request((ProcessGroup(cpu=0.1),))
    return replace(plan, policy=Policy.RERUN, stop_at=None, request=request, at=plan.at / 4)


def _early(plan: JobPlan) -> JobPlan:
    return replace(plan, at=plan.at / 8, stop_at=plan.stop_at if plan.stop_at is None else plan.stop_at / 8)


def _stopped(plan: JobPlan) -> JobPlan:
    return replace(plan, stop_at=0.3)


def _early_stops(world: World) -> None:
    """Logins take long, and stops come while the first program is prepared."""
    world.known_logins = 0.0
    _each(_stopped, _body)(world)


def _prepared(plan: JobPlan) -> JobPlan:
    return replace(plan, task=replace(plan.task, preflight=("stage", "0")))


def _careless(world: World) -> None:
    for machine in world.machines.values():
        machine.careless = True


_REUSE: dict[str, Any] = {**CALM, "subreapers": False}
"""For so few pids that they are soon given again."""

FOCUSES = {
    "swarm": Focus(most=100),
    "power": Focus({"timed": {"power cut": 6}, "split": 0.5}, most=120),
    "stops": Focus(
        {"kills": {"controller": 16}, "timed": {"unreachable": 8}, "latency": 0.1},
        _each(_same, _long),
        patience_s=1800.0,
        most=120,
    ),
    "early stops": Focus(
        {"late": 0.6, "twice": 0.5, "latency": 0.1, "timed": {"pause": 60, "cut": 8}, "kills": {"controller": 8}},
        _early_stops,
        most=200,
    ),
    "orphans": Focus(
        {**CALM, "kills": {"both": 4}},
        _each(_limited, lambda body, _: replace(body, lasts=1e5, daemons=0.0, unmarked=False)),
        patience_s=1800.0,
        most=10,
    ),
    "limits": Focus(
        {**CALM, "kills": {"shepherd": 6}},
        _each(_limited, lambda body, _: replace(body, lasts=1e5, daemons=0.0, unmarked=False)),
        _overrun,
        most=20,
    ),
    "gangs": Focus({"timed": {"reboot": 4}, "twice": 0.9, "kills": {}}, _gangs, _unfailing, most=100),
    "unmarked": Focus(
        {**CALM, "kills": {"both": 6}, "subreapers": True},
        _each(_daemons, lambda body, _: replace(body, unmarked=True, daemons=1.0, codes=(0,))),
        most=20,
    ),
    "cleaned": Focus({"timed": {"clean": 40}, "twice": 0.9}, _each(_early, _body), most=20),
    "cleaned and killed": Focus(
        {"timed": {"clean": 40}, "twice": 0.9, "kills": {"shepherd": 8}}, _each(_early, _body), most=80
    ),
    "many keepers": Focus(
        {"timed": {"upgrade": 8, "cut": 8}, "twice": 0.9, "kills": {"keeper": 6}}, _each(_prepared, _body), most=20
    ),
    "numbers": Focus({**_REUSE, "pids": 14, "kills": {"keeper": 4, "shepherd": 12, "both": 16}}, most=200),
    "numbers and boots": Focus({**_REUSE, "pids": 25, "kills": {"both": 16}, "timed": {"reboot": 8}}, most=200),
    "watchers": Focus({"kills": {"both": 6, "keeper": 2, "shepherd": 2}}, most=160),
    "one watcher": Focus({**CALM, "kills": {"shepherd": 12}}, most=60),
    "careless": Focus({"kills": {"both": 6}, "subreapers": False}, _careless, patience_s=1800.0, most=10),
    "silence": Focus({"timed": {"unreachable": 8}}, _each(_early, lambda body, _: replace(body, lasts=30.0)), most=120),
    "reboots": Focus({"timed": {"reboot": 6}}, _each(lambda plan: replace(plan, policy=Policy.RERUN), _body), most=40),
    "fresh links": Focus(
        {**CALM, "latency": 1.0, "kills": {"link": 20, "shepherd": 2, "keeper": 2}},
        _each(_same, lambda body, _: replace(body, lasts=0.5, daemons=0.0)),
        patience_s=1800.0,
        most=160,
    ),
    "output": Focus(
        {"pieces": 0.9, "latency": 0.3, "timed": {"cut": 60, "unreachable": 4, "clean": 80}},
        _each(_same, lambda body, _: replace(body, lasts=0.5, chunks=12)),
        most=200,
    ),
}
