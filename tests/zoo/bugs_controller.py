"""Bugs of the controller, its plan and its store."""

from __future__ import annotations

from tests.zoo.bug import Bug, Edit

_TURN = """        events: list[ev.Event] = []
        after: list[act.Action] = []
"""

BUGS = (
    Bug(
        "rescue by age",
        "unreachable is not failed",
        "an attempt on a node that has been silent for half a minute is lost",
        (
            Edit(
                "controller/loop.py",
                _TURN,
                _TURN
                + """        for attempt in list(self._world.live()):
            silent = [self._world.nodes[n].silent_since for n in attempt.nodes if n in self._world.nodes]
            if any(s is not None and s < self._hands.ports.clock.wall() - 30.0 for s in silent):
                events.append(ev.AttemptGone(attempt.id, preempted=False, evidence="silent for too long"))
""",
            ),
        ),
        "silence",
    ),
    Bug(
        "unreachable is called failed",
        "unreachable is not failed",
        "a lost connection ends the attempts of its node",
        (
            Edit(
                "controller/loop.py",
                _TURN,
                _TURN
                + """        for attempt in list(self._world.live()):
            for name in attempt.nodes:
                node = self._world.nodes.get(name)
                if node is not None and str(node.health) == "unreachable" and attempt.started_at is not None:
                    events.append(ev.AttemptGone(attempt.id, preempted=False, evidence=f"{name} is unreachable"))
                    break
""",
            ),
        ),
    ),
    Bug(
        "back-off is zero",
        "an end with a reason",
        "a lost attempt is tried again at once, and again",
        (Edit("plan/retry.py", "    wait *= 1 + jitter(last.id) / 4\n", "    wait *= 0\n"),),
        "reboots",
    ),
    Bug(
        "retry clock never reset",
        "an end with a reason",
        "losses of long ago count against the budget of today",
        (
            Edit(
                "plan/retry.py",
                "        since = (last.ended_at or 0.0) - FAULT_WINDOW_S\n",
                "        since = 0.0\n",
            ),
        ),
        "tests/unit/plan/test_retry.py",
    ),
    Bug(
        "never_started counts against the budget",
        "an end with a reason",
        "a job that never ran is over, or held, as if it had been lost",
        (
            Edit(
                "model/policy.py",
                """    if outcome is Outcome.NEVER_STARTED:
        return Next.START_OVER
    if""",
                """    if outcome is Outcome.NEVER_STARTED:
        return _LOST[policy]
    if""",
            ),
        ),
    ),
    Bug(
        "double finish",
        "an end with a reason",
        "an attempt that has ended is judged again and ends again",
        (
            Edit(
                "controller/loop.py",
                "            if attempt.live and attempt.state is not State.PLACED:\n",
                "            if attempt.state is not State.PLACED:\n",
            ),
        ),
    ),
    Bug(
        "submit key ignored",
        "accepted",
        "a submission that is repeated because no answer came makes a second job",
        (
            Edit(
                "controller/submit.py",
                "        found = self._store.by_key(*submission.id)\n",
                "        found = None\n",
            ),
        ),
    ),
    Bug(
        "stop forgotten after a restart",
        "stopped means gone",
        "that a job is to be stopped is known to one life of the controller only",
        (
            Edit(
                "controller/loop.py",
                """        for order in found.orders:
""",
                """        for order in found.orders:
            if order.verb == "stop" and attempt.id not in self._asked and attempt.why is not None:
                continue
""",
            ),
            Edit(
                "controller/loop.py",
                """        self._stopping: set[AttemptId] = set()
""",
                """        self._stopping: set[AttemptId] = set()
        self._asked: set[AttemptId] = set()
""",
            ),
            Edit(
                "controller/loop.py",
                """            case act.OrderStop(attempt, why):
""",
                """            case act.OrderStop(attempt, why):
                self._asked.add(attempt)
""",
            ),
        ),
        "stops",
    ),
    Bug(
        "a stop order hits the next attempt",
        "an end with a reason",
        "a stop order is for the job: repeated late, it kills the attempt that runs then",
        (
            Edit(
                "runner/orders.py",
                """    attempt = head["attempt"]
    yield from folder.write_stop""",
                """    job, _, number = head["attempt"].rpartition(".")
    names = [name for name in (yield List(paths.runs)) or [] if name.rpartition(".")[0] == job]
    attempt = "%s.%d" % (job, max([int(name.rpartition(".")[2]) for name in names] + [int(number)]))
    yield from folder.write_stop""",
            ),
            Edit(
                "runner/orders.py",
                "from . import folder, verdict\n",
                "from . import folder, verdict\nfrom .effects import List\n",
            ),
        ),
        "gangs",
    ),
    Bug(
        "two controllers",
        "accepted",
        "the lock of the store is not taken: two processes write to it",
        (
            Edit(
                "store/guard.py",
                "                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                "",
            ),
        ),
        "tests/contract/test_store_sqlite.py::test_a_second_opening_is_refused_and_names_the_first",
    ),
    Bug(
        "answered before the commit",
        "accepted",
        "the number is printed before it is on the disk",
        (
            Edit(
                "store/writer.py",
                """        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.commit, draft)
""",
                """        base = draft.after
        draft.publish()
        for call in calls:
            call.succeed()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.commit, draft)
""",
            ),
            Edit(
                "store/writer.py",
                """        draft.publish()
        for call in calls:
            call.succeed()
        self._tell(draft.records)
""",
                """        assert base >= 0
        self._tell(draft.records)
""",
            ),
        ),
    ),
    Bug(
        "a gang starts without all",
        "an end with a reason",
        "the first node of a gang that is ready starts its programs",
        (
            Edit(
                "controller/settle.py",
                """    elif "ready" in words.values() and set(words.values()) <= {"ready", "live", "ending", "ended"}:
""",
                """    elif "ready" in words.values():
""",
            ),
        ),
        "gangs",
    ),
    Bug(
        "forgotten in memory",
        "an end with a reason",
        "a fresh controller does not look at the attempts that it finds in the store",
        (
            Edit(
                "controller/loop.py",
                "{a.id for j in world.jobs.values() for a in j.attempts}",
                "set()",
            ),
            Edit(
                "controller/core.py",
                "                if attempt.acked or session.name not in attempt.nodes:\n",
                "                if not attempt.live or attempt.started_at or session.name not in attempt.nodes:\n",
            ),
        ),
    ),
    Bug(
        "old news after newer",
        "an end with a reason",
        "what a node tells when it is followed counts when the answer is looked at, also behind newer news",
        (
            Edit(
                "controller/core.py",
                """            await link.call("watch", attempt=str(attempt.id), cursors=cursors)
""",
                """            told, _ = await link.call("watch", attempt=str(attempt.id), cursors=cursors)
        self._watch.heard(attempt.id, session.name, told["facts"])
""",
            ),
            Edit(
                "runner/verbs.py",
                """        self._link.outlet.send({"on": "facts", "attempt": head["attempt"], "facts": facts})
        return {}
""",
                """        return {"facts": facts}
""",
            ),
        ),
        "fresh links",
    ),
)
