"""Any story leaves the same in SQLite and in memory, and what is loaded is what the log folds to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from afield.errors import AfieldError
from afield.model import event as ev
from afield.model.attempt import Exited, Outcome, State, Why
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Goal, Job
from afield.model.machine import fold, forget
from afield.model.node import Capacity, Health
from afield.model.world import World
from afield.store.memory import MemoryStore
from afield.store.port import Store
from afield.store.sqlite import SqliteStore
from tests.unit.store.values import attempt, placed, submitted

NUMBERS = st.integers(1, 8)
NODES = st.sampled_from(["box1", "box2"]).map(NodeName)
TEXT = st.sampled_from(["", "plain", "caf\udce9", "\u2603"])
PICK = st.integers(0, 100)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Stories are many and test no disk."""


class BothStores(RuleBasedStateMachine):
    """The same events go to both; what one refuses the other refuses for the same reason."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="store-", dir=MEMORY)
        self.sqlite = SqliteStore.open(self._folder.name)
        self.memory = MemoryStore()
        self.worlds = self.sqlite.load(), self.memory.load()
        self.now = 0.0
        self.pending: list[ev.Event] = []

    def teardown(self) -> None:
        self.sqlite.close()
        self._folder.cleanup()

    def append(self, *events: ev.Event) -> None:
        self.now += 1.5
        answers = []
        stores: tuple[Store, Store] = (self.sqlite, self.memory)
        for store, world in zip(stores, self.worlds, strict=True):
            try:
                answers.append(repr(store.append(events, self.now, world)))
            except AfieldError as error:
                answers.append(repr(error))
        assert answers[0] == answers[1]

    @rule(number=NUMBERS, key=st.sampled_from(["", "same"]), user=st.sampled_from(["ann", "bob"]), text=TEXT)
    def submit(self, number: int, key: str, user: str, text: str) -> None:
        self.append(submitted(number, key=key, user=user, argv=(text,)))

    @rule(first=st.integers(20, 30), count=st.integers(1, 4))
    def submit_several(self, first: int, count: int) -> None:
        self.append(*(submitted(n) for n in range(first, first + count)))

    @rule(number=NUMBERS, code=st.sampled_from([0, 1]), pick=PICK)
    def step(self, number: int, code: int, pick: int) -> None:
        """Move a job one lawful step on."""
        job = self.worlds[0].jobs.get(JobNumber(number))
        if job is not None:
            self.append(*_next(job, code, pick))

    @rule(number=NUMBERS, pick=PICK)
    def wish(self, number: int, pick: int) -> None:
        job = self.worlds[0].jobs.get(JobNumber(number))
        if job is not None and job.decided is None:
            wishes: list[ev.Event] = [
                ev.GoalSet(job.number, Goal.STOP, "ann"),
                ev.JobHeld(job.number, "wait", self.now + 5),
                ev.JobHeld(job.number, "wait"),
                ev.JobReleased(job.number, "ann"),
            ]
            self.append(wishes[pick % len(wishes)])

    @rule(name=NODES, pick=PICK, detail=TEXT)
    def node(self, name: NodeName, pick: int, detail: str) -> None:
        news: list[ev.Event] = [
            ev.NodeAdded(name, "ssh", target=detail),
            ev.NodeObserved(name, Health.READY, detail, capacity=Capacity(8.0)),
            ev.NodeObserved(name, Health.UNREACHABLE, detail),
            ev.NodeSet(name, declared=(("a100", 2),)),
            ev.NodeRemoved(name),
        ]
        self.append(news[pick % len(news)])

    @rule(number=NUMBERS)
    def unlawful(self, number: int) -> None:
        self.append(submitted(40 + number), ev.AttemptStarted(attempt(number, 99)))

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite, self.memory = SqliteStore.open(Path(self._folder.name)), self.memory.reopened()
        self.worlds = self.sqlite.load(), self.memory.load()

    @invariant()
    def alike(self) -> None:
        for world in self.worlds:
            for job in list(world.jobs.values()):
                forget(world, job)
        assert self.worlds[0] == self.worlds[1] == self.sqlite.load() == self.memory.load() == self.folded()
        assert self.sqlite.records(0) == self.memory.records(0)
        for only in (True, False):
            assert self.sqlite.jobs(unfinished_only=only) == self.memory.jobs(unfinished_only=only)
        assert self.sqlite.jobs(limit=2, before=5) == self.memory.jobs(limit=2, before=5)
        assert self.sqlite.next_job() == self.memory.next_job()
        for number in (1, 5):
            assert self.sqlite.job(JobNumber(number)) == self.memory.job(JobNumber(number))
        assert self.sqlite.by_key("ann", "same") == self.memory.by_key("ann", "same")

    def folded(self) -> World:
        world = World()
        for record in self.sqlite.records(0):
            fold(world, record)
        for job in list(world.jobs.values()):
            forget(world, job)
        return world


def _next(job: Job, code: int, pick: int) -> Sequence[ev.Event]:
    last, live = job.last, job.live
    if job.decided is not None:
        return [ev.AttemptAcked(a.id) for a in job.attempts if not a.acked][:1]
    if live is None:
        which = len(job.attempts) + 1
        if last is None or pick % 3 == 0:
            return [placed(job.number, which)]
        return [ev.JobDecided(job.number, last.outcome or Outcome.LOST)]
    choices: list[list[ev.Event]] = [
        [ev.AttemptExited(live.id, (Exited(0, code),), by_us=bool(code))],
        [ev.AttemptGone(live.id, preempted=bool(code), evidence="reboot")],
        [ev.StopOrdered(live.id, Why.USER)],
        [ev.PrepareStarted(live.id), ev.AttemptStarted(live.id, "seen")],
    ]
    if live.state is not State.RUNNING:
        choices += [[ev.PrepareFailed(live.id, "setup", "no")], [ev.NeverStarted(live.id, "sealed")]]
    return choices[pick % len(choices)]


TestBothStores = BothStores.TestCase
TestBothStores.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
