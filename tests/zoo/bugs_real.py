"""Bugs that only real files, locks and pipes show: tests with real parts have to find them."""

from __future__ import annotations

from tests.zoo.bug import Bug, Edit

BUGS = (
    Bug(
        "log through a pipe",
        "every byte or a marked gap",
        "a program writes into a pipe of its shepherd: the shepherd's death breaks the output, and the program with it",
        (
            Edit(
                "runner/real_process.py",
                """    streams = real_exec.open_streams(effect.out, effect.err)
""",
                """    streams = tuple(_piped(file) for file in real_exec.open_streams(effect.out, effect.err))
""",
            ),
            Edit(
                "runner/real_process.py",
                """def _become(effect""",
                """def _piped(file):
    import threading

    out, into = os.pipe()

    def copy():
        for data in iter(lambda: os.read(out, 4096), b""):
            os.write(file, data)

    threading.Thread(target=copy, daemon=True).start()
    return into


def _become(effect""",
            ),
        ),
        "tests/e2e/test_runner_kill.py::test_what_is_printed_after_the_shepherds_death_is_kept",
    ),
    Bug(
        "no sync before the rename",
        "an end with a reason",
        "a file gets its name before its bytes are safe: after a power cut it is there and empty",
        (
            Edit(
                "runner/real_files.py",
                "        _fill(temporary, effect.data, os.O_TRUNC, True)\n",
                "        _fill(temporary, effect.data, os.O_TRUNC, False)\n",
            ),
        ),
        "tests/unit/runner/test_durable.py",
    ),
    Bug(
        "folder not synced after the rename",
        "at most once",
        "what rests on a file goes on before its name is safe: a deed without its mark",
        (
            Edit(
                "runner/real_files.py",
                """        _remove(temporary)
        raise
    _sync(folder)
""",
                """        _remove(temporary)
        raise
""",
            ),
        ),
        "tests/unit/runner/test_durable.py",
    ),
    Bug(
        "a daemon is nobody's",
        "stopped means gone",
        "what a daemon has open is not asked: what may be of two attempts holds up the end of the one that it is of",
        (
            Edit(
                "runner/keeper.py",
                "            told = {self.paths.whose(path) for path in (yield Opened(row.pid))} & self._living()\n",
                "            told = set()\n",
            ),
        ),
        "tests/chaos/test_trees.py::test_a_daemon_that_may_be_of_two_attempts_holds_up_neither",
    ),
    Bug(
        "left to each other",
        "stopped means gone",
        "an attempt that will not look again counts as one that may still take a daemon",
        (Edit("runner/keeper.py", "self._living() - cleared | {attempt}", "self._living()"),),
        "tests/chaos/test_trees.py::test_of_two_attempts_that_end_together_one_takes_what_may_be_of_either",
    ),
    Bug(
        "one end a look",
        "stopped means gone",
        "of many children that ended one is heard of at a time: a program behind hundreds is running for long",
        (Edit("runner/real_process.py", "pids = {first[0], *_children()} if", "pids = {first[0]} if"),),
        "tests/unit/runner/test_exits.py",
    ),
    Bug(
        "a ring is read away",
        "stopped means gone",
        "who ends right after the look at ended children is heard of at the end of the wait, a keeper's after a minute",
        (
            Edit(
                "runner/real_door.py",
                """        happened = world.ears.heard()
        exits = real_process.exits(world)
""",
                """        exits = real_process.exits(world)
        happened = world.ears.heard()
""",
            ),
        ),
        "tests/unit/runner/test_exits.py",
    ),
)
