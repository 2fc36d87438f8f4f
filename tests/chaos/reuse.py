"""Gives the number of a dead process of ours to a stranger at once; runs as process 1 of a namespace of its own."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from afield.runner import verdict
from afield.testing.processes import running
from afield.testing.waiting import wait_until
from tests.chaos.inside import Missing
from tests.e2e.runner_kit import Node, alive

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
ROLES = ("program", "shepherd", "keeper")
TRIES = 20
DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)


def rounds(count: str, seed: str) -> dict[str, Any]:
    """Kills an attempt's program and both watchers, puts a stranger in the place of one, and settles. Totals."""
    dice = random.Random(int(seed))
    totals: dict[str, Any] = {"rounds": 0, "same number again": 0, "wrong": []}
    with tempfile.TemporaryDirectory(prefix="afp-") as folder:
        node = Node(Path(folder))
        try:
            for number in range(1, int(count) + 1):
                totals["wrong"] += _round(node, f"{number}.1", (dice.choice(ROLES), dice.random() < 0.5), totals)
                totals["rounds"] += 1
        finally:
            node.close()
            _reap()
    return totals


def _round(node: Node, attempt: str, way: tuple[str, bool], totals: dict[str, Any]) -> list[str]:
    role, stop = way
    node.launch(attempt, "sleep 300")
    program = node.until(attempt, verdict.LIVE)["processes"]["0"]["started"]["pid"]
    keepers = [process.pid for process in running() if process.name == "afield-keeper"]
    pids = {"program": program, "shepherd": node.shepherd(attempt), "keeper": keepers[0]}
    for pid in (*keepers, pids["shepherd"], program):
        node.kill(pid)
    wait_until(lambda: _reap() and not [pid for pid in pids.values() if Path("/proc", str(pid)).exists()])
    heard = node.home / f"heard-{attempt}"
    stranger = _stranger(pids[role], heard)
    if stranger is None:
        return []
    totals["same number again"] += 1
    wrong = []
    if stop:
        node.stop(attempt, grace_s=0)
    facts = node.settle(attempt)
    ended = stop and verdict.verdict(facts) == verdict.ENDED and facts["final"]["why"] == "user"
    if verdict.exits(facts) or not (ended or verdict.verdict(facts) == verdict.DEAD):
        wrong.append(f"{attempt}: {role} reused: the verdict is {verdict.verdict(facts)}: {facts}")
    if not alive(stranger) or heard.read_text():
        wrong.append(f"{attempt}: {role} reused: the stranger heard {heard.read_text()!r}, lives: {alive(stranger)}")
    node.kill(stranger)
    wait_until(lambda: _reap() and not Path("/proc", str(stranger)).exists())
    return wrong


def _reap() -> bool:
    """As process 1 we inherit everyone's orphans; a number is free once its process is reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return True


def _stranger(pid: int, heard: Path) -> int | None:
    """A process with exactly that number, in a session of its own, which writes down what it is sent.

    None where something still holds the number, as that of its group.
    """
    heard.touch()
    for _ in range(TRIES):
        try:
            LAST_PID.write_text(str(pid - 1))
        except OSError as error:
            raise Missing(f"the kernel gives no number on demand: {error.strerror}") from None
        child = os.fork()
        if child == 0:
            _listen(heard)
        if child == pid:
            wait_until(lambda: heard.with_suffix(".up").exists())
            return child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        heard.with_suffix(".up").unlink(missing_ok=True)
    return None


def _listen(heard: Path) -> None:
    """The stranger: never returns."""
    os.setsid()

    def hear(number: int, _: object) -> None:
        with heard.open("a") as file:
            file.write(f"{number} ")

    for number in DEADLY:
        signal.signal(number, hear)
    heard.with_suffix(".up").touch()
    while True:
        time.sleep(300)
