"""People who submit, stop and release; who ask again with the same key when no answer comes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from afield.controller.core import Controller
from afield.errors import AfieldError, Conflict, NothingFits
from afield.model.ids import JobNumber
from afield.model.job import Goal
from tests.sim.host import submission
from tests.sim.scenario import JobPlan
from tests.sim.wires import WORLD

if TYPE_CHECKING:
    from tests.sim.world import World

PATIENCE_S = 8.0
RELEASE_S = 20.0


class Users:
    """`answers` has the number that each key was answered with; None while there was none."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.answers: dict[str, int | None] = {}
        self._waiting = 0

    @property
    def content(self) -> bool:
        """Whether nobody waits for anything."""
        return self._waiting == 0

    def begin(self) -> None:
        """They go to work."""
        world = self._world
        for plan in world.scenario.jobs:
            self._waiting += 1
            world.scheduler.after(plan.at, WORLD, self._submit, plan)
        world.scheduler.after(RELEASE_S, WORLD, self._release)

    # ---- submitting

    def _submit(self, plan: JobPlan) -> None:
        if plan.key in self.answers and self.answers[plan.key] is not None:
            return
        self.answers.setdefault(plan.key, None)
        world = self._world
        world.host.ask(lambda c: c.submit([submission(plan)]), lambda value: self._answered(plan, value))
        world.scheduler.after(PATIENCE_S, WORLD, self._submit, plan)

    def _answered(self, plan: JobPlan, value: Any) -> None:
        if isinstance(value, AfieldError):
            if isinstance(value, Conflict | NothingFits):
                self._world.wrong(f"{plan.key} was refused: {value.what}")
            return
        number = value[0]["number"]
        before = self.answers[plan.key]
        if before is not None:
            if before != number:
                self._world.wrong(f"{plan.key} was answered with jobs {before} and {number}")
            return
        self.answers[plan.key] = number
        self._waiting -= 1
        for _ in range(plan.again):
            self._world.scheduler.after(self._world.late(), WORLD, self._submit_again, plan)
        if plan.stop_at is not None:
            self._waiting += 1
            at = max(plan.stop_at, 0.0)
            self._world.scheduler.after(at * self._world.dice.random(), WORLD, self._stop, number)

    def _submit_again(self, plan: JobPlan) -> None:
        self._world.host.ask(lambda c: c.submit([submission(plan)]), lambda value: self._answered(plan, value))

    # ---- stopping

    def _stop(self, number: JobNumber) -> None:
        """Asks until the store has it, or the job is over."""
        world = self._world
        job = world.host.store.job(number)
        if job is not None and (job.decided is not None or job.goal is Goal.STOP):
            self._waiting -= 1
            return
        world.host.ask(lambda c: c.stop_job(number, "ann"), lambda value: None)
        world.scheduler.after(PATIENCE_S, WORLD, self._stop, number)

    # ---- releasing

    def _release(self) -> None:
        world = self._world
        for job in world.host.store.jobs(unfinished_only=True, limit=100):
            if job.hold:
                world.host.ask(_releasing(job.number), lambda value: None)
        world.scheduler.after(RELEASE_S, WORLD, self._release)


def _releasing(number: JobNumber) -> Callable[[Controller], Coroutine[Any, Any, Any]]:
    return lambda controller: controller.release_job(number, "ann")
