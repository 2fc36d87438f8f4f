"""Torture by process trees: whatever a program leaves behind, nothing of it lives on, and nobody else is touched."""

from __future__ import annotations

import functools
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from afield.runner import verdict
from afield.testing.processes import identity
from afield.testing.waiting import wait_until
from tests.chaos.kit import SEED, report
from tests.e2e.runner_kit import PYTHON, Node, alive

TREES = int(os.environ.get("AFIELD_TREES", "60"))
AT_ONCE = 4
TREE = str(Path(__file__).with_name("tree.py"))


@dataclass(frozen=True, slots=True)
class Case:
    """One tree: how its attempt ends, and who of ours is killed before that."""

    attempt: str
    seed: int
    end: str
    killed: str
    notes: Path

    def pids(self) -> list[int]:
        """All that it noted."""
        return [int(line.split()[0]) for line in self.notes.read_text().splitlines()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bystanders(tmp_path: Path) -> Iterator[dict[int, str]]:
    """Strangers of this account that look like a job's processes, by pid: the same program, one with a job's mark."""
    started = []
    for number, mark in enumerate(("", "st1.1.1.n2.00000000", "st2.1.1.n1.00000000", "st1.11.1.n1.00000000")):
        words = [PYTHON, TREE, "0", str(tmp_path / "bystanders"), "bystander"]
        env = dict(os.environ, **({"AFIELD_MARK": mark} if mark else {}))
        started.append(subprocess.Popen(words, env=env, start_new_session=number > 1))
    wait_until((tmp_path / "bystanders").exists)
    yield {process.pid: identity(process.pid) for process in started}
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.timeout(3600)
def test_nothing_of_a_tree_is_left(node: Node, bystanders: dict[int, str], tmp_path: Path) -> None:
    dice = random.Random(SEED)
    node.launch("999999.1", "sleep 3000")
    neighbour = node.until("999999.1", verdict.LIVE)["processes"]["0"]["started"]["pid"]
    totals = {"trees": 0, "processes": 0, "survivors named": 0, "shepherds killed": 0}
    wrong: list[str] = []
    while totals["trees"] < TREES and not wrong:
        batch = [_case(dice, tmp_path, totals["trees"] + i + 1) for i in range(min(AT_ONCE, TREES - totals["trees"]))]
        for case in batch:
            how = "leave" if case.end == "normal" else "stay"
            node.launch(case.attempt, [PYTHON, TREE, str(case.seed), str(case.notes), how], grace_s=0.3)
        for case in batch:
            _bring_to_its_end(node, case)
        # Without a mark, and with two of its watchers killed at a time, whose a process is shows with the last of them.
        for case in batch:
            node.until(case.attempt, verdict.ENDED)
        for case in batch:
            wrong += [f"{case}: {fault}" for fault in _faults(node, case)]
            facts = node.facts(case.attempt)
            totals["processes"] += len(case.pids())
            totals["survivors named"] += len((facts["final"] or {}).get("survivors", ()))
            totals["shepherds killed"] += bool(case.killed)
        totals["trees"] += len(batch)
    wrong += [f"bystander {pid} was touched" for pid, who in bystanders.items() if identity(pid) != who]
    wrong += [] if alive(neighbour) else ["the neighbour's program was touched"]
    report("process_trees", totals.pop("trees"), len(wrong), **totals, bystanders=len(bystanders) + 1)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])


def _case(dice: random.Random, folder: Path, number: int) -> Case:
    end = dice.choice(["normal", "stop", "stop", "limit"])
    killed = "" if end == "normal" else dice.choice(["", "", "shepherd"])
    return Case(f"{number}.1", dice.randrange(2**31), end, killed, folder / f"notes{number}")


def _bring_to_its_end(node: Node, case: Case) -> None:
    wait_until(functools.partial(_grown, node, case), show=lambda: (case, node.facts(case.attempt)))
    if case.killed:
        node.kill(node.shepherd(case.attempt))
    if case.end != "normal":
        node.stop(case.attempt, why="user" if case.end == "stop" else "time_limit", grace_s=0.2)


def _grown(node: Node, case: Case) -> bool:
    return "grown" in node.text(case.attempt, "p0/out")


def _faults(node: Node, case: Case) -> Iterator[str]:
    facts = node.until(case.attempt, verdict.ENDED)
    left = [pid for pid in case.pids() if alive(pid)]
    if left:
        yield f"{left} live on: {facts['final']}"
    end = verdict.exits(facts)
    expected: dict[str, Any] = {"rank": 0, "code": None, "signal": signal.SIGTERM}
    if case.end == "normal":
        expected = {"rank": 0, "code": 0, "signal": None}
        if not facts["final"]["survivors"]:
            yield "it left processes behind and none is named"
    if end != [expected]:
        yield f"it ended with {end}, not {expected}"


DAEMON = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    links = {name: f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")}
    tree = [int(n) for n, link in links.items() if os.path.islink(link) and os.readlink(link).endswith("/tree")]
    if os.fork():
        os.wait(), os.execv("/bin/sleep", ["sleep", "300"])
    if os.fork():
        os._exit(0)
    os.setsid()
    socket.send_fds(line, [b"%d" % os.getpid()], tree)
    line.recv(1)
null = os.open(os.devnull, os.O_RDWR)
for number in range(3):
    os.dup2(null, number)
os.closerange(3, 3 if sys.argv[2] == "holds" else 1024)
os.execve("/bin/sleep", ["sleep", "300"], {})
"""


@dataclass
class Daemons:
    """Two attempts in the keeper's care: the pids of their daemons without a mark, and the trees, held by us too."""

    pids: list[int]
    trees: list[int]


@pytest.fixture
def daemons(node: Node, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemons]:
    made = Daemons([], [])
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        for number in (1, 2):
            node.launch(f"{number}.1", [PYTHON, "-c", DAEMON, str(tmp_path / "door"), request.param])
            line, _ = door.accept()
            with line:
                told, trees, _, _ = socket.recv_fds(line, 99, 9)
                line.send(b".")
                line.recv(1)
            made.pids.append(int(told))
            made.trees += trees
    shepherds = [node.shepherd(f"{number}.1") for number in (1, 2)]
    keeper = int(node.ask("ping")["pid"])
    os.kill(keeper, signal.SIGSTOP)
    for shepherd in shepherds:
        node.kill(shepherd)
    os.kill(keeper, signal.SIGCONT)
    yield made
    for handle in made.trees:
        os.close(handle)


@pytest.mark.parametrize("daemons", ["holds"], indirect=True)
def test_a_daemon_that_may_be_of_two_attempts_holds_up_neither(node: Node, daemons: Daemons) -> None:
    """Two shepherds die at once: whose a daemon is, tells the tree lock that it inherited."""
    while daemons.trees:
        os.close(daemons.trees.pop())
    for number, pid in enumerate(daemons.pids, 1):
        assert alive(pid), "the daemon of an attempt that runs on was ended"
        node.stop(f"{number}.1")
        node.until(f"{number}.1", verdict.ENDED)
        assert not alive(pid)


@pytest.mark.parametrize("daemons", ["holds nothing"], indirect=True)
def test_of_two_attempts_that_end_together_one_takes_what_may_be_of_either(node: Node, daemons: Daemons) -> None:
    for attempt in ("1.1", "2.1"):
        node.stop(attempt)
    wait_until(lambda: not any(map(alive, daemons.pids)), show=lambda: [node.facts(a) for a in ("1.1", "2.1")])
    for attempt in ("1.1", "2.1"):
        node.until(attempt, verdict.ENDING)
    while daemons.trees:
        os.close(daemons.trees.pop())
    for attempt in ("1.1", "2.1"):
        node.until(attempt, verdict.ENDED)
