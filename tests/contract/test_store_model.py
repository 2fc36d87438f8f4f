"""Any story leaves the same in a durable store and in memory, and what is loaded is what the log folds to.

`open_durable` is the one place where another kind of store comes in: a subclass for each, told the same stories.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
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
from afield.store.draft import Draft
from afield.store.memory import MemoryStore
from afield.store.port import Store
from afield.store.sqlite import SqliteStore
from tests.unit.store.values import attempt, placed, submitted

NUMBERS = st.integers(1, 8)
NODES = st.sampled_from(["box1", "box2", "b\udce9", "b\\udce9"]).map(NodeName)
KEYS = st.sampled_from(["", "same", "k\udce9", "k\\udce9", "K\u00e9", "k\0"])
TEXT = st.sampled_from(["", "plain", "caf\udce9", "\u2603"])
PICK = st.integers(0, 100)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Stories are many and test no disk."""


class BothStores(RuleBasedStateMachine):
    """The same events go to both; what one refuses the other refuses for the same reason."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="store-", dir=MEMORY)
        self.durable = self.open_durable(Path(self._folder.name))
        self.memory = MemoryStore()
        self.worlds = self.durable.load(), self.memory.load()
        self.now = 0.0
        self.pending: list[ev.Event] = []

    def open_durable(self, folder: Path) -> Store:
        """The durable store of a folder, made or found."""
        return SqliteStore.open(folder)

    def teardown(self) -> None:
        self.durable.close()
        self._folder.cleanup()

    def append(self, *events: ev.Event) -> None:
        self.now += 1.5
        self.both(lambda store, world: store.append(events, self.now, world))

    def both(self, do: Callable[[Store, World], object]) -> None:
        """Both stores give the same answer, or refuse with the same words."""
        answers = []
        stores: tuple[Store, Store] = (self.durable, self.memory)
        for store, world in zip(stores, self.worlds, strict=True):
            try:
                answers.append(repr(do(store, world)))
            except AfieldError as error:
                answers.append(repr(error))
        assert answers[0] == answers[1]

    @rule(calls=st.lists(st.lists(NUMBERS, max_size=3), max_size=4))
    def several_calls_in_one_commit(self, calls: list[list[int]]) -> None:
        """As the writer does it: a call that is refused leaves no trace, the others are kept."""
        self.now += 1.5

        def commit(store: Store, world: World) -> list[str]:
            draft, told = Draft(world, store), []
            for numbers in calls:
                try:
                    told.append(repr(draft.add([submitted(10 * n) for n in numbers], self.now)))
                except AfieldError as error:
                    told.append(repr(error))
            if draft.records:
                store.commit(draft)
                draft.publish()
            return told

        self.both(commit)

    @rule()
    def a_world_that_is_behind(self) -> None:
        """What was folded elsewhere is not overwritten."""
        if self.worlds[0].seq:
            self.both(lambda store, world: store.append([submitted(99)], self.now, World()))

    @rule(number=NUMBERS, key=KEYS, user=st.sampled_from(["ann", "bob"]), text=TEXT)
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
        before = self.durable.id, self.durable.incarnation
        self.durable.close()
        self.durable, self.memory = self.open_durable(Path(self._folder.name)), self.memory.reopened()
        self.worlds = self.durable.load(), self.memory.load()
        assert self.durable.id == before[0]
        assert self.durable.incarnation > before[1]

    @invariant()
    def alike(self) -> None:
        for world in self.worlds:
            for job in list(world.jobs.values()):
                forget(world, job)
        assert self.worlds[0] == self.worlds[1] == self.durable.load() == self.memory.load() == self.folded()
        assert self.durable.records(0) == self.memory.records(0)
        for only in (True, False):
            assert self.durable.jobs(unfinished_only=only) == self.memory.jobs(unfinished_only=only)
        assert self.durable.jobs(limit=2, before=5) == self.memory.jobs(limit=2, before=5)
        assert self.durable.next_job() == self.memory.next_job()
        for number in (1, 5):
            assert self.durable.job(JobNumber(number)) == self.memory.job(JobNumber(number))
        for key in ("same", "k\udce9", "k\\udce9", "k\0"):
            assert self.durable.by_key("ann", key) == self.memory.by_key("ann", key)
        cursor = self.worlds[0].seq // 2
        assert self.durable.records(cursor, 3) == self.memory.records(cursor, 3)

    def folded(self) -> World:
        world = World()
        for record in self.durable.records(0):
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


TestSqlite = BothStores.TestCase
TestSqlite.settings = settings(max_examples=30, stateful_step_count=30)
