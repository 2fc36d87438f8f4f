"""Bugs of run folders: what lies in them, what it proves, and how the controller is told."""

from __future__ import annotations

from tests.zoo.bug import Bug, Edit

BUGS = (
    Bug(
        "judged without a seal",
        "stopped means gone",
        "a stop that finds an empty folder takes it as proof that nothing ran, while a launch may still come",
        (
            Edit(
                "controller/settle.py",
                """    _order_each(attempt, words, result)
""",
                """    if attempt.state is State.STOPPING:
        words = {node: "never_started" if word == "absent" else word for node, word in words.items()}
    _order_each(attempt, words, result)
""",
            ),
        ),
        "early stops",
    ),
    Bug(
        "late success overwritten by lost",
        "an end with a reason",
        "a sealed folder is dead, although the exits of all its programs lie in it",
        (
            Edit(
                "runner/verdict.py",
                """    if _complete(facts):
        return ENDED
    return DEAD""",
                """    return DEAD""",
            ),
        ),
        "watchers",
    ),
    Bug(
        "nonce ignored",
        "at most once",
        "a file of another attempt of that number is believed",
        (
            Edit(
                "runner/folder.py",
                'if not isinstance(value, dict) or (nonce is not None and value.get("nonce") != nonce):',
                "if not isinstance(value, dict):",
            ),
        ),
        "tests/unit/runner/test_folder.py tests/e2e/test_runner_stop.py::test_an_order_of_another_attempt_is_no_order",
    ),
    Bug(
        "bare pid and no boot id: who lives",
        "an end with a reason",
        "after a reboot, or a while, a stranger with the old number counts as the program",
        (
            Edit(
                "runner/folder.py",
                """    if started.get("boot") != boot:
        return False
    if""",
                """    if""",
            ),
            Edit(
                "runner/folder.py",
                'if row is not None and row[0] == started["start"] and (',
                "if row is not None and (",
            ),
        ),
        "numbers and boots",
    ),
    Bug(
        "a zombie is alive for ever",
        "an end with a reason",
        "a dead program whose new parent never asks for its status keeps its job running",
        (
            Edit(
                "runner/folder.py",
                """row[0] == started["start"] and (row[1] not in "ZX" or row[2] != 1):""",
                """row[0] == started["start"]:""",
            ),
        ),
        "careless",
    ),
    Bug(
        "reason of a loss ignores the boot id",
        "an end with a reason",
        "a kill of both watchers is told as a reboot, a reboot as kills",
        (
            Edit(
                "runner/verdict.py",
                """return "both watchers were killed" if facts["boot"] in boots else "reboot\"""",
                """return "both watchers were killed" if boots else "reboot\"""",
            ),
        ),
        "reboots",
    ),
    Bug(
        "gap not marked",
        "every byte or a marked gap",
        "a file that shrank is read again from its start, and nobody is told",
        (Edit("runner/follow.py", "        return gap\n\n    def _push", "        return None\n\n    def _push"),),
        "tests/e2e/test_link_follow.py::test_a_file_that_shrank_is_a_gap_and_is_read_from_its_start[kernel]",
    ),
    Bug(
        "following begins at the end",
        "every byte or a marked gap",
        "what a program writes while no connection is open is skipped",
        (
            Edit(
                "runner/follow.py",
                "        self.offset = int(cursor[0])\n",
                "        self.offset = max(int(cursor[0]), self._disk.size(self._path) or 0)\n",
            ),
        ),
        "output",
    ),
    Bug(
        "cursor advanced before write",
        "every byte or a marked gap",
        "bytes count as held before the file has them: a full disk or a kill leaves a hole",
        (
            Edit(
                "store/stream.py",
                """            try:
                with points.around("controller.output"):
                    done = os.write(self._file, view)
            except OSError as error:
                raise refused(self._path, error) from error
            self.size += done
""",
                """            self.size += len(view)
            try:
                with points.around("controller.output"):
                    done = os.write(self._file, view)
            except OSError as error:
                raise refused(self._path, error) from error
""",
            ),
        ),
        "tests/unit/store/test_output.py::test_a_full_disk_is_said_and_the_rest_can_come_later",
    ),
    Bug(
        "acknowledged before the output is here",
        "every byte or a marked gap",
        "the node may throw away what was never mirrored",
        (
            Edit(
                "controller/loop.py",
                """                if self._home(*known):
                    self._hands.effects.ack(known[1])
""",
                """                self._hands.effects.ack(known[1])
""",
            ),
        ),
        "output",
    ),
    Bug(
        "acknowledged before the store has the end",
        "an end with a reason",
        "the node may throw away the only proof of an end that is not recorded yet",
        (
            Edit(
                "controller/loop.py",
                """        events = self._concluded(job, found.events)
""",
                """        events = self._concluded(job, found.events)
        for node in attempt.nodes if found.events and not found.orders else ():
            self._hands.effects.order(job, attempt, Order("ack", node))
""",
            ),
            Edit(
                "controller/effects.py",
                """        if order.verb == "seal":
""",
                """        if order.verb == "ack":
            reply, _ = await session.call("ack", attempt=name)
        elif order.verb == "seal":
""",
            ),
        ),
    ),
)
