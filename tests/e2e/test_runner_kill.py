"""SIGKILL at every labelled step of shepherd and keeper: no program runs twice, its exit is true or honestly lost."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from afield.runner import adopt, folder, real, verdict
from afield.testing.waiting import wait_until
from tests.e2e.runner_kit import LEDGER, Node, alive

BODY = LEDGER + "sleep 0.2; exit 7"
SHEPHERD = (
    "shepherd.lock", "shepherd.told", "shepherd.folder", "shepherd.tree", "shepherd.mark", "shepherd.fork",
    "shepherd.started", "shepherd.open", "shepherd.exit", "shepherd.reap", "shepherd.final", "shepherd.stage",
    "shepherd.setup", "shepherd.login",
)  # fmt: skip
BETWEEN = (
    "shepherd.folder:2",
    "shepherd.fork+:2",
    "shepherd.started:2",
    "shepherd.started+:2",
    "shepherd.open",
    "shepherd.open:2",
)
STAGES = [{"name": "setup", "argv": ["true"], "key": "k"}]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def _armed(node: Node, label: str) -> None:
    """The next keeper, and only that one, has this kill point."""
    node.environ = {"AFIELD_KILL": label, "AFIELD_KILL_LOG": str(node.home / "labels")}
    node.ask("ping")
    node.environ = {}


def _start(node: Node, attempt: str, *commands: str, **more: Any) -> None:
    real.perform(folder.write_spec(node.paths, attempt, node.spec(attempt, *commands, **more)))
    node.ask("start", attempt=attempt)


def test_the_labels_are_all_tried(node: Node) -> None:
    _armed(node, "")
    _start(node, "1.1", BODY, stages=STAGES)
    node.until("1.1", verdict.ENDED)
    passed = set((node.home / "labels").read_text().split())
    assert {label for label in passed if label.startswith("shepherd.")} == set(SHEPHERD)


@pytest.mark.parametrize("label", [label + after for label in SHEPHERD for after in ("", "+")])
def test_a_shepherd_killed_anywhere(node: Node, label: str) -> None:
    _armed(node, label)
    _start(node, "1.1", BODY, stages=STAGES)
    facts = node.settle("1.1")
    _check(node, facts, 7)
    before = node.begun()
    assert node.ask("start", attempt="1.1")["state"] != "started"
    assert node.begun() == before <= 1


@pytest.mark.parametrize("label", BETWEEN)
def test_a_shepherd_killed_between_two_programs(node: Node, label: str) -> None:
    _armed(node, label)
    _start(node, "1.1", LEDGER + "sleep 20", LEDGER + "sleep 20", grace_s=0.1)
    facts = node.settle("1.1")
    assert verdict.verdict(facts) == (verdict.NEVER_STARTED if node.begun() == 0 else verdict.DEAD)
    assert not any(p["alive"] for p in facts["processes"].values())


def test_a_stage_that_a_killed_shepherd_began_is_judged_by_its_new_run(node: Node) -> None:
    """Found by kills at labels: what the first try left at its gate was taken for the end of the second one."""
    spec = node.spec("1.1", BODY, stages=STAGES)
    real.perform(folder.write_spec(node.paths, "1.1", spec))
    run = node.paths.run("1.1")
    left = {"code": None, "signal": None, "by": "gate", "after_signal": False, "nonce": spec["nonce"]}
    Path(run, "stage", "setup").mkdir(parents=True)
    real.perform(folder.put(run, "stage/setup/exit.json", left, spec["nonce"], ""))
    node.ask("start", attempt="1.1")
    facts = node.until("1.1", verdict.ENDED, verdict.SETUP_FAILED)
    assert verdict.exits(facts) == [{"rank": 0, "code": 7, "signal": None}]


@pytest.mark.parametrize(
    "label", ["shepherd.stopping", "shepherd.stopping+", "shepherd.kill", "shepherd.kill+", "shepherd.exit"]
)
def test_a_shepherd_killed_while_it_stops(node: Node, label: str) -> None:
    _armed(node, label)
    _start(node, "1.1", LEDGER + "echo up; exec sleep 60")
    _up(node, "1.1")
    node.stop("1.1")
    facts = node.settle("1.1")
    assert verdict.verdict(facts) == verdict.ENDED
    assert verdict.exits(facts) == [{"rank": 0, "code": None, "signal": signal.SIGTERM}]
    assert facts["processes"]["0"]["exit"]["after_signal"] is True
    assert (facts["final"]["why"], facts["final"]["writer"]) == ("user", "keeper")


@pytest.mark.parametrize(
    "label", ["keeper.fork", "keeper.fork+", "keeper.answer", "keeper.answer+", "keeper.reap", "keeper.reap+"]
)
def test_a_keeper_killed_anywhere(node: Node, label: str) -> None:
    _armed(node, label)
    _start(node, "1.1", BODY)
    _check(node, node.settle("1.1"), 7)


@pytest.mark.parametrize(
    "label", ["keeper.lock", "keeper.lock+", "keeper.exit", "keeper.exit+", "keeper.final", "keeper.final+"]
)
def test_both_killed_is_honestly_lost(node: Node, label: str) -> None:
    _armed(node, label)
    _start(node, "1.1", BODY)
    wait_until(node.begun, show=lambda: node.facts("1.1"))
    node.kill(node.shepherd("1.1"))
    facts = node.settle("1.1")
    assert node.begun() == 1
    known = label in ("keeper.exit+", "keeper.final", "keeper.final+")
    assert verdict.verdict(facts) == (verdict.ENDED if known else verdict.DEAD), facts
    assert verdict.exits(facts) == ([{"rank": 0, "code": 7, "signal": None}] if known else [])
    if not known:
        assert verdict.reason(facts) == "both watchers were killed"


def _up(node: Node, attempt: str) -> None:
    wait_until(lambda: "up" in node.text(attempt, "p0/out"), show=lambda: node.facts(attempt))


def _check(node: Node, facts: dict[str, Any], code: int) -> None:
    if node.begun():
        assert verdict.verdict(facts) == verdict.ENDED, facts
        assert verdict.exits(facts) == [{"rank": 0, "code": code, "signal": None}]
    else:
        assert verdict.verdict(facts) == verdict.NEVER_STARTED, facts


# ---- adoption --------------------------------------------------------------------------------------------------------


def test_an_adopted_attempt_is_looked_after(node: Node) -> None:
    commands = ("echo up; sleep 60", "echo up; sleep 0.5; exit 3")
    node.launch("1.1", *commands, grace_s=0.2)
    node.launch("2.1", "echo up; sleep 60", time_limit_s=1.0)
    node.launch("3.1", "echo up; sleep 60", "sleep 0.5", end="first")
    node.launch("4.1", "echo up; kill -9 $$")
    node.launch("5.1", "echo up; sleep 60")
    for attempt in ("1.1", "2.1", "3.1", "5.1"):
        _up(node, attempt)
        node.kill(node.shepherd(attempt))
    wait_until(lambda: node.ask("poke", attempt="5.1")["state"] == "adopted")
    node.stop("5.1")
    ends = {a: node.until(a, verdict.ENDED) for a in ("1.1", "2.1", "3.1", "4.1", "5.1")}
    assert {a: (f["final"]["why"], f["final"]["cause"]) for a, f in ends.items()} == {
        "1.1": ("failure", 1),
        "2.1": ("time_limit", None),
        "3.1": ("end_first", None),
        "4.1": (None, 0),
        "5.1": ("user", None),
    }
    assert verdict.exits(ends["1.1"])[1] == {"rank": 1, "code": 3, "signal": None}
    assert [p["exit"]["by"] for p in ends["1.1"]["processes"].values()] == ["keeper", "keeper"]


def test_what_is_printed_after_the_shepherds_death_is_kept(node: Node) -> None:
    go = node.home / "go"
    node.launch("1.1", f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo after; exit 7")
    _up(node, "1.1")
    node.kill(node.shepherd("1.1"))
    go.touch()
    facts = node.until("1.1", verdict.ENDED)
    assert verdict.exits(facts) == [{"rank": 0, "code": 7, "signal": None}]
    assert Path(node.paths.run("1.1"), "p0", "out").read_bytes() == b"up\nafter\n"


def test_daemons_of_an_adopted_attempt_are_ended(node: Node) -> None:
    pids = node.home / "pids"
    daemon = f"env -i setsid -f sh -c 'echo $$ >> {pids}; exec sleep 300' <&- >&- 2>&-"
    node.launch("2.1", "sleep 60")
    node.launch("1.1", f"{daemon}; echo up; sleep 0.5; {daemon}; exit 6")
    wait_until(lambda: "up" in node.text("1.1", "p0/out") and pids.exists())
    node.kill(node.shepherd("1.1"))
    facts = node.until("1.1", verdict.ENDED)
    assert verdict.exits(facts) == [{"rank": 0, "code": 6, "signal": None}]
    wait_until(lambda: len(pids.read_text().split()) == 2)
    assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)], facts["final"]
    assert node.word("2.1") == verdict.LIVE


def test_shepherds_go_on_without_their_keeper(node: Node) -> None:
    node.launch("1.1", LEDGER + "sleep 0.5; exit 8")
    first = node.ask("ping")["pid"]
    node.kill(first)
    node.launch("2.1", "exit 9")
    assert node.ask("ping")["pid"] != first
    assert node.ask("poke", attempt="1.1")["state"] in ("shepherd", "none")
    assert verdict.exits(node.until("1.1", verdict.ENDED))[0]["code"] == 8
    assert verdict.exits(node.until("2.1", verdict.ENDED))[0]["code"] == 9


def test_an_orphan_is_watched_and_can_be_stopped(node: Node) -> None:
    for attempt in ("1.1", "2.1"):
        node.launch(attempt, f"echo up; until [ -e {node.home}/enough ]; do sleep 0.05; done")
        _up(node, attempt)
    node.kill(node.ask("ping")["pid"])
    for attempt in ("1.1", "2.1"):
        node.kill(node.shepherd(attempt))
        node.until(attempt, verdict.ORPHAN)
    node.stop("1.1")
    facts = node.until("1.1", verdict.ENDED)
    assert (facts["final"]["why"], verdict.exits(facts)) == ("user", [])
    node.until("2.1", verdict.LIVE)
    (node.home / "enough").touch()
    node.until("2.1", verdict.NEEDS_SEAL)
    facts = real.perform(folder.seal(node.paths, "2.1", "gone", "controller"))
    assert (verdict.verdict(facts), verdict.reason(facts)) == (verdict.DEAD, "both watchers were killed")


def test_a_late_seal_takes_no_program_from_its_keeper(node: Node) -> None:
    node.launch("1.1", f"echo up; until [ -e {node.home}/enough ]; do sleep 0.05; done; exit 7")
    _up(node, "1.1")
    program = node.facts("1.1")["processes"]["0"]["started"]["pid"]
    keeper, shepherd = node.ask("ping")["pid"], node.shepherd("1.1")
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(shepherd, signal.SIGKILL)
        wait_until(lambda: not alive(shepherd))
        late = [real.perform(folder.seal(node.paths, "1.1", "it was not there", "controller"))]
        (node.home / "enough").touch()
        wait_until(lambda: not alive(program))
        late += [real.perform(folder.seal(node.paths, "1.1", "it was not there", "controller"))]
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert [(verdict.verdict(facts), facts["sealed"]) for facts in late] == [(verdict.ORPHAN, None)] * 2
    assert verdict.exits(node.until("1.1", verdict.ENDED))[0]["code"] == 7


def test_a_keeper_waits_for_the_lock_of_what_it_inherits(node: Node) -> None:
    node.launch("1.1", f"echo up; until [ -e {node.home}/enough ]; do sleep 0.05; done; exit 7")
    _up(node, "1.1")
    program, shepherd = node.facts("1.1")["processes"]["0"]["started"]["pid"], node.shepherd("1.1")
    with open(node.paths.run("1.1") + "/" + folder.LOCK) as lock:
        keeper = node.ask("ping")["pid"]
        os.kill(keeper, signal.SIGSTOP)
        try:
            node.kill(shepherd)
            wait_until(lambda: not alive(shepherd))
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.kill(keeper, signal.SIGCONT)
        (node.home / "enough").touch()
        wait_until(lambda: not alive(program))
        time.sleep(2 * adopt.TRIES * adopt.PAUSE_S)
    assert verdict.exits(node.until("1.1", verdict.ENDED))[0]["code"] == 7


def test_a_seal_between_two_watchers_leaves_nothing_behind(node: Node) -> None:
    silent = "import os; os.setsid(); os.closerange(0, 1024); os.execve('/bin/sleep', ['sleep', '300'], {})"
    _armed(node, "shepherd.kill")
    node.launch("1.1", f"python3 -c {quote(silent)} & echo $!; until [ -e {node.home}/enough ]; do sleep 0.05; done")
    wait_until(lambda: node.text("1.1", "p0/out").endswith("\n"))
    daemon, shepherd = int(node.text("1.1", "p0/out")), node.shepherd("1.1")
    wait_until(lambda: not os.listdir(f"/proc/{daemon}/fd"))
    keeper = node.ask("ping")["pid"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        (node.home / "enough").touch()
        wait_until(lambda: not alive(shepherd))
        facts = real.perform(folder.seal(node.paths, "1.1", "nobody is seen", "controller"))
        assert (verdict.verdict(facts), alive(daemon)) == (verdict.ENDED, True)
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: not alive(daemon))
    wait_until(lambda: not node.ask("ping")["attempts"])
    facts = node.facts("1.1")
    assert (verdict.verdict(facts), facts["final"]) == (verdict.ENDED, None)
    assert facts["sealed"] == {"reason": "nobody is seen", "by": "controller"}


def test_a_seal_is_the_last_word_also_when_a_stop_comes_after_it(node: Node) -> None:
    """Found by a simulated schedule: the keeper told an attempt as stopped that was known as never started."""
    node.launch("1.1", BODY, gang=True, gate_s=600.0)
    node.until("1.1", verdict.READY)
    keeper = node.ask("ping")["pid"]
    shepherd = json.loads(node.text("1.1", folder.LOCK))["pid"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        node.kill(shepherd)
        wait_until(lambda: not alive(shepherd))
        facts = real.perform(folder.seal(node.paths, "1.1", "nobody is seen", "controller"))
        assert verdict.verdict(facts) == verdict.NEVER_STARTED
        order = {"k": 1, "why": "failure", "grace_s": 0.1, "by": "ann"}
        real.perform(folder.write_stop(node.paths, "1.1", order))
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: f'"pid":{keeper},' in node.text("1.1", folder.LOCK))
    wait_until(lambda: not node.ask("ping")["attempts"])
    facts = node.facts("1.1")
    assert (verdict.verdict(facts), facts["final"]) == (verdict.NEVER_STARTED, None)


@pytest.mark.parametrize("stopped", [False, True], ids=["goes on", "stopped"])
def test_a_new_shepherd_ends_what_killed_watchers_left_of_a_stage(stopped: bool, node: Node) -> None:
    """Found by a simulated schedule: a setup went on beside the end of its attempt, or beside its second run."""
    left = _stage_left(node)
    if stopped:
        order = {"k": 1, "why": "user", "grace_s": 0.1, "by": "ann"}
        real.perform(folder.write_stop(node.paths, "1.1", order))
    assert _start_by_shepherd(node) == "started"
    facts = node.until("1.1")
    assert not alive(left)
    assert facts["final"]["why"] == ("user" if stopped else None)
    assert node.begun() == (0 if stopped else 1)


@pytest.mark.parametrize("through", [(), ("env", "-i")], ids=["marked", "without variables"])
def test_a_new_keeper_ends_what_killed_watchers_left_of_a_stage(through: tuple[str, ...], node: Node) -> None:
    """Found by simulated schedules: what had not left its gate yet, and so had no mark, ran on after the end."""
    left = _stage_left(node, *through)
    node.stop("1.1", grace_s=0.1)
    facts = node.until("1.1")
    assert (facts["final"]["why"], alive(left), node.begun()) == ("user", False, 0)


def _stage_left(node: Node, *through: str) -> int:
    """A process of a setup whose watchers were killed."""
    setup = f"[ -e {node.home}/pid ] && exit; echo $$ > {node.home}/new; mv {node.home}/new {node.home}/pid; sleep 300"
    node.launch("1.1", BODY, stages=[{"name": "setup", "argv": [*through, "sh", "-c", setup], "key": "k"}])
    wait_until((node.home / "pid").exists)
    watchers = (node.ask("ping")["pid"], json.loads(node.text("1.1", folder.LOCK))["pid"])
    for pid in watchers:
        node.kill(pid)
    wait_until(lambda: not any(map(alive, watchers)))
    left = int((node.home / "pid").read_text())
    assert alive(left)
    return left


def _start_by_shepherd(node: Node) -> str:
    """What a start comes to where the new keeper must not take the attempt up before its shepherd has the lock."""
    with open(node.paths.run("1.1") + "/" + folder.LOCK) as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = pool.submit(node.ask, "start", attempt="1.1")
        wait_until(lambda: node.ask("ping")["attempts"])
        fcntl.flock(lock, fcntl.LOCK_UN)
        return str(answer.result()["state"])


def test_a_second_start_of_what_lives_seals_nothing(node: Node) -> None:
    node.launch("1.1", f"echo up; until [ -e {node.home}/enough ]; do sleep 0.05; done; exit 7", time_limit_s=1.0)
    _up(node, "1.1")
    shepherd = node.shepherd("1.1")
    for pid in (node.ask("ping")["pid"], shepherd):
        node.kill(pid)
    wait_until(lambda: not alive(shepherd))
    assert _start_by_shepherd(node) == "already"
    assert node.facts("1.1")["sealed"] is None
    assert node.settle("1.1")["final"]["why"] == "time_limit"


def test_a_reboot_is_told_from_a_kill(node: Node) -> None:
    node.launch("1.1", "echo up; sleep 60")
    _up(node, "1.1")
    program = node.facts("1.1")["processes"]["0"]["started"]["pid"]
    for pid in (node.ask("ping")["pid"], node.shepherd("1.1"), program):
        node.kill(pid)
    other = node.home / "boot"
    other.write_text("another-boot\n")
    wait_until(lambda: not alive(program))
    os.environ["AFIELD_BOOT_FILE"] = str(other)
    try:
        facts = real.perform(folder.seal(node.paths, "1.1", "gone", "controller"))
    finally:
        del os.environ["AFIELD_BOOT_FILE"]
    assert (verdict.verdict(facts), verdict.reason(facts)) == (verdict.DEAD, "reboot")


def test_a_keeper_leaves_when_asked_and_idle(node: Node) -> None:
    node.launch("1.1", "sleep 0.5")
    pid = node.ask("leave")["pid"]
    node.until("1.1", verdict.ENDED)
    wait_until(lambda: not alive(pid))
    assert not os.path.exists(node.paths.keeper_sock("test"))
    assert node.launch("2.1", "exit 0")["state"] == "started"
    node.until("2.1", verdict.ENDED)
