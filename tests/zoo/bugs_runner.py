"""Bugs of those who start and watch programs on a node."""

from __future__ import annotations

from tests.zoo.bug import Bug, Edit

BUGS = (
    Bug(
        "start mark not synced",
        "at most once",
        "started.json is written without a sync: after a power cut a program that ran counts as one that never did",
        (
            Edit(
                "runner/stages.py",
                """        yield from case.put(place + "/" + folder.STARTED, (yield from _birth(case, born)), "started")
""",
                """        mark = dict((yield from _birth(case, born)), nonce=case.nonce)
        yield Put(inside + "/" + folder.STARTED, folder.dump(mark), label=case.label("started"))
""",
            ),
            Edit("runner/stages.py", "Program, Reap,", "Program, Put, Reap,"),
        ),
        "power",
    ),
    Bug(
        "process folder not synced",
        "at most once",
        "the name of the folder that holds started.json may be lost in a power cut, and the mark with it",
        (
            Edit(
                "runner/stages.py",
                'yield Mkdir(inside, label=case.label("folder"))',
                'yield Mkdir(inside, False, label=case.label("folder"))',
            ),
        ),
        "power",
    ),
    Bug(
        "tree lock not inherited",
        "never two at a time",
        "a program does not carry the lock of its tree: nothing tells of a daemon without a mark",
        (Edit("runner/stages.py", "(tree,) + tuple(plan.locks)", "tuple(plan.locks)"),),
        "unmarked",
    ),
    Bug(
        "gate opened before started.json",
        "at most once",
        "the program runs before it is on the disk that it runs",
        (
            Edit(
                "runner/stages.py",
                """    try:
        yield from case.put(place + "/" + folder.STARTED""",
                """    if rank is not None:
        yield Open(born["gate"], label=case.label("open"))
    try:
        yield from case.put(place + "/" + folder.STARTED""",
            ),
            Edit(
                "runner/stages.py",
                """    except OSError:
        yield Shut(born["gate"])
        raise
    return Member""",
                """    except OSError:
        raise
    return Member""",
            ),
            Edit(
                "runner/shepherd.py",
                """    for gate in gates:
        yield Open(gate, label="shepherd.open")
    return""",
                """    return""",
            ),
            Edit(
                "runner/shepherd.py",
                """        for gate in gates:
            yield Shut(gate)
        raise""",
                """        raise""",
            ),
        ),
    ),
    Bug(
        "high-water mark not raised",
        "at most once",
        "once its folder is cleaned away, a late launch of an attempt that ran starts it again",
        (
            Edit(
                "runner/shepherd.py",
                '    yield from folder.raise_high_water(case.paths, case.attempt, "shepherd.mark")\n',
                "",
            ),
        ),
        "cleaned",
    ),
    Bug(
        "high-water mark raised after the start",
        "at most once",
        "the mark is raised when programs run already: a kill in between leaves it low",
        (
            Edit(
                "runner/shepherd.py",
                '    yield from folder.raise_high_water(case.paths, case.attempt, "shepherd.mark")\n',
                "",
            ),
            Edit(
                "runner/shepherd.py",
                '        yield Open(gate, label="shepherd.open")\n',
                '        yield Open(gate, label="shepherd.open")\n'
                '    yield from folder.raise_high_water(case.paths, case.attempt, "shepherd.mark")\n',
            ),
        ),
        "cleaned and killed",
    ),
    Bug(
        "exit.json after reap",
        "an end with a reason",
        "the kernel forgets how a program ended before it is on the disk: one kill loses the status",
        (
            Edit(
                "runner/watch.py",
                """        if member is not None:
            yield from self._write_exit(member, code, signum)
        elif self.case.who == "keeper":
            return  # the keeper reaps what is no program
        usage = yield Reap(pid, label=self.case.label("reap"))
""",
                """        if member is None and self.case.who == "keeper":
            return  # the keeper reaps what is no program
        usage = yield Reap(pid, label=self.case.label("reap"))
        if member is not None:
            yield from self._write_exit(member, code, signum)
""",
            ),
        ),
        "one watcher",
    ),
    Bug(
        "final.json before survivors are killed",
        "stopped means gone",
        "the last word is said while daemons of the job still run",
        (
            Edit(
                "runner/watch.py",
                """        yield from self.clear()
        self.cleared = True
        yield from self._last_holder()
        if self.broken:""",
                """        if self.broken:
            yield from self.clear()
            yield from self._last_holder()""",
            ),
            Edit(
                "runner/watch.py",
                """cause=self.cause, survivors=self.survivors, usage=usage)
""",
                """cause=self.cause, survivors=self.survivors, usage=usage)
        yield from self.clear()
""",
            ),
        ),
    ),
    Bug(
        "a start asks nothing of what was",
        "at most once",
        "a repeated launch is no 'already': whatever ran here before, the program is started",
        (
            Edit("runner/orders.py", "    if word != verdict.ABSENT:\n", "    if word == verdict.ENDED:\n"),
            Edit(
                "runner/shepherd.py",
                "    if (yield from _trace(run, spec)):\n        return TRACE\n",
                "",
            ),
            Edit("runner/shepherd.py", "    if number <= highest:\n", "    if number < highest:\n"),
        ),
    ),
    Bug(
        "a refused lock is taken as free",
        "at most once",
        "who may not have the attempt's lock goes on as if it had it",
        (
            Edit(
                "runner/shepherd.py",
                """    if lock is None:
        yield Tell(HELD, label="shepherd.told")
        return
    try:
        reason""",
                """    try:
        reason""",
            ),
            Edit(
                "runner/shepherd.py",
                """        yield Drop(lock)
        yield Tell(HELD if""",
                """        yield Tell(HELD if""",
            ),
        ),
        "many keepers",
    ),
    Bug(
        "a refused lock is sealed over",
        "an end with a reason",
        "the seal is written although a shepherd holds the lock, and its silence is taken as proof",
        (
            Edit(
                "runner/folder.py",
                """    if lock is None:
        return (yield from facts(paths, attempt))
    try:
        found =""",
                """    try:
        found =""",
            ),
            Edit(
                "runner/folder.py",
                """    finally:
        yield Drop(lock)


def write_seal""",
                """    finally:
        if lock is not None:
            yield Drop(lock)


def write_seal""",
            ),
        ),
        "tests/unit/runner/test_folder.py::test_sealing_needs_the_lock_and_happens_once",
    ),
    Bug(
        "a late seal over a living program",
        "an end with a reason",
        "who has the lock seals, whatever began since the seal was ordered: the keeper leaves that to end unseen",
        (
            Edit("runner/folder.py", "if verdict(found) != NEEDS_SEAL:", 'if found["sealed"] is not None:'),
            Edit(
                "runner/keeper.py",
                'closed = (sealed or {}).get("by") == "shepherd" or',
                "closed = sealed is not None or",
            ),
        ),
        "tests/e2e/test_runner_kill.py::test_a_late_seal_takes_no_program_from_its_keeper",
    ),
    Bug(
        "a stop behind a seal",
        "an end with a reason",
        "a stop order that comes after the seal makes an attempt that never started a stopped one",
        (Edit("runner/adopt.py", """        case.closed = verdict.verdict(found) in verdict.CLOSED\n""", ""),),
        "tests/e2e/test_runner_kill.py::test_a_seal_is_the_last_word_also_when_a_stop_comes_after_it",
    ),
    Bug(
        "a stage left by both watchers",
        "stopped means gone",
        "a new shepherd trusts that it has no child: what killed watchers left of a stage is none of its children",
        (Edit("runner/shepherd.py", "    if before:\n        yield from stages.end_left(case)\n", ""),),
        "tests/e2e/test_runner_kill.py::test_a_new_shepherd_ends_what_killed_watchers_left_of_a_stage",
    ),
    Bug(
        "a stage left to a new keeper",
        "stopped means gone",
        "a new keeper looks for marks only: what killed watchers left of a stage may have none, or not yet",
        (Edit("runner/stages.py", 'get("boot") == boot:', 'get("boot") == boot and case.who == "shepherd":'),),
        "tests/e2e/test_runner_kill.py::test_a_new_keeper_ends_what_killed_watchers_left_of_a_stage",
    ),
    Bug(
        "time limit restarted at adoption",
        "an end with a reason",
        "who adopts an attempt counts its time from then on",
        (Edit("runner/adopt.py", "max(clocks or [mono])", "mono"),),
        "limits",
    ),
    Bug(
        "keeper restart forgets orphans",
        "stopped means gone",
        "a new keeper does not take up what its killed forerunner left: nobody watches that any more",
        (
            Edit("runner/keeper.py", "            yield from self._look_around()\n", ""),
            Edit(
                "runner/keeper.py",
                """        return "adopted" if (yield from self._adopt_orphan(attempt)) else "none"
""",
                """        return "none"
""",
            ),
        ),
        "orphans",
    ),
    Bug(
        "a killed shepherd is not missed",
        "an end with a reason",
        "the keeper does not take up what a killed shepherd leaves",
        (
            Edit(
                "runner/keeper.py",
                """            self._adopt(attempt, heir=True)
            yield from self._claim(attempt)
""",
                """            yield from self._claim(attempt)
""",
            ),
        ),
        "watchers",
    ),
    Bug(
        "bare pid: who watches",
        "an end with a reason",
        "a process is known by its number alone: a stranger that got it counts as the program",
        (
            Edit(
                "runner/watch.py",
                """if row is None or row[0] != member.start or (row[1] in "ZX" and row[2] != self.case.me["pid"]):""",
                """if row is None or (row[1] in "ZX" and row[2] != self.case.me["pid"]):""",
            ),
            Edit("runner/killtree.py", "if pid in rows and rows[pid].start == start}", "if pid in rows}"),
        ),
        "numbers",
    ),
    Bug(
        "device lock not taken",
        "never two at a time",
        "two stores give one device to two jobs",
        (
            Edit(
                "runner/shepherd.py",
                """        if handle is None:
            for _, other""",
                """        if handle is None:
            continue
        if not device:
            for _, other""",
            ),
        ),
        "tests/e2e/test_runner.py::test_a_device_is_given_once_whatever_the_store",
    ),
)
