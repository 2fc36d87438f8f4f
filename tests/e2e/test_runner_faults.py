"""The runner where the machine itself fails it: a full disk, kills at random moments, random process trees."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.runner import verdict
from afield.testing.waiting import wait_until
from tests.e2e.runner_kit import LEDGER, PYTHON, Node, alive


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


FULL = r"""
import sys
from pathlib import Path
from tests.e2e.runner_kit import Node
from afield.runner import verdict
node = Node(Path(sys.argv[1]))
try:
    node.launch("1.1", "dd if=/dev/zero of=$JOB_DIR/big bs=4096 count=100000 2>/dev/null; exit 5")
    facts = node.until("1.1", verdict.ENDED)
    assert verdict.exits(facts) == [{"rank": 0, "code": 5, "signal": None}], facts
    assert facts["final"]["why"] is None
    node.launch("2.1", "exit 0")
    facts = node.until("2.1", verdict.NEVER_STARTED)
    assert "No space left" in verdict.reason(facts), facts
    print("ended, and refused")
finally:
    node.close()
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare to mount a small disk")
def test_an_end_is_written_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    script = f'mount -t tmpfs -o size=512k none {disk} && exec {PYTHON} -c "$1" {disk}'
    probe = subprocess.run([*enter, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no private mounts here: {probe.stderr.decode().strip()}")
    env = dict(os.environ, PYTHONPATH=":".join(filter(None, sys.path)) + f":{Path.cwd()}")
    done = subprocess.run(
        [*enter, "sh", "-c", script, "sh", FULL], capture_output=True, text=True, env=env, check=False
    )
    assert done.stdout == "ended, and refused\n", done.stderr


def _kill_at_random(node: Node, seed: int) -> None:
    """One attempt whose shepherd is killed after a random time; then a controller settles it."""
    rand = random.Random(seed)
    attempt = f"{seed}.1"
    ledger = node.begun()
    node.launch(attempt, LEDGER + f"sleep {rand.random() * 0.05:.3f}; exit 7")
    time.sleep(rand.random() * 0.06)  # the moment is what is random here; nothing is awaited by it
    for pid in _shepherds(node, attempt):
        node.kill(pid)
    facts = node.settle(attempt)
    if node.begun() > ledger:
        assert verdict.verdict(facts) == verdict.ENDED, (seed, facts)
        assert verdict.exits(facts) == [{"rank": 0, "code": 7, "signal": None}], (seed, facts)
    else:
        assert verdict.verdict(facts) == verdict.NEVER_STARTED, (seed, facts)


def _shepherds(node: Node, attempt: str) -> list[int]:
    text = node.text(attempt, "lock")
    return (
        [int(text.split('"pid":')[1].split(",")[0])]
        if '"pid":' in text and node.facts(attempt)["lock"] == "held"
        else []
    )


def test_shepherds_killed_at_random_moments(node: Node) -> None:
    for seed in range(1, 16):
        _kill_at_random(node, seed)


@pytest.mark.campaign
def test_many_shepherds_killed_at_random_moments(node: Node) -> None:
    for seed in range(1, int(os.environ.get("AFIELD_TEST_KILLS", "200"))):
        _kill_at_random(node, seed)


# Builds a tree by the given recipe: each letter forks a child in some way and goes on inside it or beside it.
GROW = r"""
import os, random, signal, sys, time
rand = random.Random(int(sys.argv[1]))
def note():
    with open(sys.argv[2], "a") as file:
        file.write("%d\n" % os.getpid())
def grow(depth):
    for _ in range(rand.randint(1, 3)):
        seed = rand.random()
        if os.fork() == 0:
            rand.seed(seed)
            if rand.random() < 0.4: os.setsid()
            if rand.random() < 0.4 and os.fork(): os._exit(0)
            if rand.random() < 0.4: signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if rand.random() < 0.4: os.closerange(3, 1024)
            note()
            if depth: grow(depth - 1)
            if rand.random() < 0.2: os.kill(os.getpid(), signal.SIGSTOP)
            if rand.random() < 0.3: os.execve("/bin/sleep", ["sleep", "300"], {})
            time.sleep(300)
            os._exit(0)
grow(2)
note()
print("grown", flush=True)
time.sleep(300)
"""


def _grown(node: Node, attempt: str) -> bool:
    return "grown" in node.text(attempt, "p0/out")


@pytest.mark.parametrize("adopted", [False, True])
def test_no_process_of_a_random_tree_is_left(node: Node, adopted: bool) -> None:
    for seed in range(1, 5):
        attempt, pids = f"{seed}.1", node.home / f"pids{seed}"
        node.launch(attempt, [PYTHON, "-c", GROW, str(seed), str(pids)])
        wait_until(functools.partial(_grown, node, attempt))
        if adopted:
            node.kill(node.shepherd(attempt))
        node.stop(attempt, grace_s=0.1)
        node.until(attempt, verdict.ENDED)
        left = [pid for pid in map(int, pids.read_text().split()) if alive(pid)]
        assert left == [], (seed, node.facts(attempt)["final"])


def test_a_run_folder_that_is_removed_before_its_keeper_looks_holds_up_no_other(node: Node) -> None:
    """Found by a simulated schedule: the keeper cared for nothing for ever, and kept all ended children for it."""
    wait = f"until [ -e {node.home}/enough ]; do sleep 0.05; done"
    node.launch("1.1", wait)
    node.launch("2.1", "true", stages=[{"name": "preflight", "argv": ["sh", "-c", wait]}])
    node.until("1.1", verdict.LIVE)
    wait_until(lambda: node.facts("2.1")["stages"].get("preflight", {}).get("started"))
    stage = node.facts("2.1")["stages"]["preflight"]["started"]
    keeper, shepherds = node.ask("ping")["pid"], [node.shepherd("1.1"), stage["shepherd"][0]]
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(shepherds[1], signal.SIGKILL)
        (node.home / "enough").touch()
        wait_until(lambda: not any(map(alive, [*shepherds, stage["pid"]])))
        shutil.rmtree(node.paths.run("1.1"))
    finally:
        os.kill(keeper, signal.SIGCONT)
    node.until("2.1", verdict.NEVER_STARTED)
    wait_until(lambda: not node.ask("ping")["attempts"])
