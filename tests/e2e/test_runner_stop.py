"""Real shepherds: how attempts are brought to an end, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afield.runner import folder, real, verdict
from afield.testing.waiting import wait_until
from tests.e2e.runner_kit import LEDGER, PYTHON, Node, alive


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


# Leaves one child in its session, one in a session of its own, a daemon, one without inherited descriptors and one with
# an empty environment; each ignores TERM and writes its pid.
TREE = r"""
import os, signal, sys, time
def child(kind):
    if os.fork():
        return
    if kind != "plain":
        os.setsid()
    if kind in ("daemon", "closed", "empty") and os.fork():
        os._exit(0)
    if kind in ("closed", "empty"):
        os.closerange(0, 1024)
    words = ["import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
             "open(sys.argv[1], 'a').write('%d\\n' % os.getpid()); time.sleep(300)", sys.argv[1]]
    os.execve(sys.executable, [sys.executable, "-c"] + words, {} if kind == "empty" else dict(os.environ))
for kind in ("plain", "session", "daemon", "closed", "empty"):
    child(kind)
while not os.path.exists(sys.argv[1]) or len(open(sys.argv[1]).read().split()) < 5:
    time.sleep(0.01)
open(sys.argv[1] + ".ready", "w").close()
if sys.argv[2] == "stay":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)
"""


def _tree(node: Node, attempt: str, mode: str, **more: Any) -> list[int]:
    pids = node.home / "pids"
    node.launch(attempt, [PYTHON, "-c", TREE, str(pids), mode], **more)
    wait_until(lambda: Path(f"{pids}.ready").exists(), show=lambda: (node.text(attempt, "p0/err"), node.facts(attempt)))
    return [int(pid) for pid in pids.read_text().split()]


def _order(why: str, grace_s: float) -> dict[str, object]:
    return {"k": 1, "why": why, "grace_s": grace_s, "by": "controller"}


def test_stop_ends_the_whole_tree(node: Node) -> None:
    pids = _tree(node, "1.1", "stay")
    node.stop("1.1", grace_s=0.2)
    facts = node.until("1.1", verdict.ENDED)
    assert not [pid for pid in pids if alive(pid)]
    assert verdict.exits(facts) == [{"rank": 0, "code": None, "signal": signal.SIGKILL}]
    assert facts["processes"]["0"]["exit"]["after_signal"] is True
    assert (facts["final"]["why"], facts["final"]["by_us"], facts["final"]["by"]) == ("user", True, "ann")


def test_survivors_of_a_normal_end_are_ended_and_named(node: Node) -> None:
    pids = _tree(node, "1.1", "leave")
    facts = node.until("1.1", verdict.ENDED)
    assert not [pid for pid in pids if alive(pid)]
    assert len(facts["final"]["survivors"]) == 5
    assert all(any(f"(pid {pid})" in name for name in facts["final"]["survivors"]) for pid in pids)
    assert verdict.exits(facts) == [{"rank": 0, "code": 0, "signal": None}]


def test_a_stranger_is_not_touched(node: Node) -> None:
    node.launch("2.1", "sleep 60")
    pids = _tree(node, "1.1", "stay")
    node.stop("1.1", grace_s=0)
    node.until("1.1", verdict.ENDED)
    assert not [pid for pid in pids if alive(pid)]
    assert node.word("2.1") == verdict.LIVE


def test_a_program_may_use_its_grace(node: Node) -> None:
    node.launch("1.1", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: "up" in node.text("1.1", "p0/out"))
    node.stop("1.1", grace_s=20)
    facts = node.until("1.1", verdict.ENDED)
    assert node.text("1.1", "p0/out") == "up\nbye\n"
    assert verdict.exits(facts) == [{"rank": 0, "code": 9, "signal": None}]
    assert facts["processes"]["0"]["exit"]["after_signal"] is True
    assert facts["final"]["cause"] is None


def test_a_second_stop_may_be_harder(node: Node) -> None:
    node.launch("1.1", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: "up" in node.text("1.1", "p0/out"))
    node.stop("1.1", grace_s=1000)
    node.stop("1.1", k=2, why="preempted", grace_s=0)
    assert node.until("1.1", verdict.ENDED)["final"]["why"] == "user"


def test_a_stopped_process_still_ends(node: Node) -> None:
    node.launch("1.1", "echo up; kill -STOP $$")
    wait_until(lambda: "up" in node.text("1.1", "p0/out"))
    node.stop("1.1", grace_s=20)
    assert verdict.exits(node.until("1.1", verdict.ENDED)) == [{"rank": 0, "code": None, "signal": signal.SIGTERM}]


def test_a_stop_without_a_poke_is_seen_too(node: Node) -> None:
    node.launch("1.1", "sleep 60")
    real.perform(folder.write_stop(node.paths, "1.1", _order("preempted", 1.0)))
    assert node.until("1.1", verdict.ENDED)["final"]["why"] == "preempted"


def test_an_order_of_another_attempt_is_no_order(node: Node) -> None:
    node.launch("1.1", "echo up; sleep 2")
    wait_until(lambda: "up" in node.text("1.1", "p0/out"))
    Path(node.paths.run("1.1"), "stop.1").write_text('{"nonce":"other","why":"user","grace_s":0}')
    Path(node.paths.run("1.1"), "stop.2").write_text('{"nonce":"tor')
    node.ask("poke", attempt="1.1")
    assert node.until("1.1", verdict.ENDED)["final"]["why"] is None


def test_time_limit(node: Node) -> None:
    node.launch("1.1", "sleep 60", time_limit_s=0.3)
    facts = node.until("1.1", verdict.ENDED)
    assert facts["final"]["why"] == "time_limit"
    assert verdict.exits(facts)[0]["signal"] == signal.SIGTERM


def test_first_failure_stops_the_rest_and_is_the_cause(node: Node) -> None:
    node.launch("1.1", "sleep 60", "exit 3", "exit 0", grace_s=0.2)
    facts = node.until("1.1", verdict.ENDED)
    assert (facts["final"]["why"], facts["final"]["cause"]) == ("failure", 1)
    assert [(e["code"], e["signal"]) for e in verdict.exits(facts)] == [(None, signal.SIGTERM), (3, None), (0, None)]


def test_others_may_end_by_themselves_after_a_failure(node: Node) -> None:
    node.launch("1.1", "sleep 0.3; exit 0", "exit 3", grace_s=20)
    facts = node.until("1.1", verdict.ENDED)
    assert (facts["final"]["why"], facts["final"]["cause"]) == (None, 1)


def test_end_first(node: Node) -> None:
    node.launch("1.1", "sleep 60", "exit 0", end="first")
    facts = node.until("1.1", verdict.ENDED)
    assert (facts["final"]["why"], facts["final"]["cause"]) == ("end_first", None)
    assert [(e["code"], e["signal"]) for e in verdict.exits(facts)] == [(None, signal.SIGTERM), (0, None)]


# ---- before the programs ---------------------------------------------------------------------------------------------


def test_stages_run_first_and_setup_once(node: Node) -> None:
    stages = [
        {"name": "setup", "argv": ["sh", "-c", "echo set >> $SHARED_DIR/log"], "key": "k1"},
        {"name": "preflight", "argv": ["sh", "-c", "echo pre >> $SHARED_DIR/log"], "key": ""},
    ]
    for attempt in ("1.1", "2.1"):
        node.launch(attempt, "cat $SHARED_DIR/log", stages=stages)
        node.until(attempt, verdict.ENDED)
    assert node.text("1.1", "p0/out") == "set\npre\n"
    assert node.text("2.1", "p0/out") == "set\npre\npre\n"
    assert verdict.exits(node.facts("2.1")) == [{"rank": 0, "code": 0, "signal": None}]
    assert list(node.facts("2.1")["stages"]) == ["preflight"]


def test_a_failed_stage_is_setup_failed(node: Node) -> None:
    node.launch("1.1", LEDGER, stages=[{"name": "preflight", "argv": ["sh", "-c", "echo no >&2; exit 4"], "key": ""}])
    facts = node.until("1.1", verdict.SETUP_FAILED)
    assert verdict.reason(facts) == "preflight failed"
    assert facts["stages"]["preflight"]["exit"]["code"] == 4
    assert facts["stages"]["preflight"]["size_err"] == 3
    assert node.begun() == 0


def test_a_stage_can_be_stopped(node: Node) -> None:
    node.launch("1.1", LEDGER, stages=[{"name": "setup", "argv": ["sleep", "60"], "key": "k"}])
    node.until("1.1", verdict.PREPARING)
    node.stop("1.1")
    facts = node.until("1.1", verdict.ENDED)
    assert facts["final"]["why"] == "user"
    assert verdict.exits(facts) == []
    assert node.begun() == 0


def test_an_environment_is_used(node: Node) -> None:
    from afield.runner import environment

    environ = {"kind": "requirements.txt", "key": "abc", "python": "", "files": []}
    spec = node.spec("1.1", environment=environ)
    place = Path(environment.folder(node.paths, spec))
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").symlink_to(PYTHON)
    (place / environment.MARKER).touch()
    script = node.home / "x.py"
    script.write_text("import os, shutil; print(os.environ['VIRTUAL_ENV'], shutil.which('python'))")
    node.launch("1.1", environment=environ, processes=[{"rank": 0, "argv": [str(script)], "python": True}])
    node.until("1.1", verdict.ENDED)
    assert node.text("1.1", "p0/out").split() == [str(place), str(place / "bin/python")]


def test_a_hanging_login_shell_does_not_hold_a_job(tmp_path: Path) -> None:
    shell = tmp_path / "sh"
    held = tmp_path / "lock"
    shell.write_text(f"#!/bin/sh\ntouch {held}\ntrap 'rm {held}' EXIT\ntrap 'exit 1' TERM\nsleep 300 & sleep 300\n")
    shell.chmod(0o755)
    node = Node(tmp_path, environ={"SHELL": str(shell), "PATH": "/usr/bin:/bin"})
    try:
        node.launch("1.1", "echo $PATH")
        node.until("1.1", verdict.ENDED)
        assert node.text("1.1", "p0/out") == "/usr/bin:/bin\n"
        assert not held.exists(), "a lock of the account's rc files stayed"
    finally:
        node.close()


def test_the_login_shells_path_is_used(tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text("echo noise; export PATH=/opt/cuda/bin:$PATH\n")
    node = Node(tmp_path, environ={"SHELL": "/bin/sh", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    try:
        node.launch("1.1", "echo $PATH")
        node.until("1.1", verdict.ENDED)
        assert node.text("1.1", "p0/out").startswith("/opt/cuda/bin:")
    finally:
        node.close()


# ---- gangs -----------------------------------------------------------------------------------------------------------


def test_a_gang_waits_for_go(node: Node) -> None:
    node.launch("1.1", LEDGER + "echo $MASTER_ADDR:$MASTER_PORT", gang=True, gate_s=30)
    facts = node.until("1.1", verdict.READY)
    assert facts["ready"]["port"] > 0
    assert node.begun() == 0
    real.perform(folder.write_go(node.paths, "1.1", {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "77"}))
    node.ask("poke", attempt="1.1")
    node.until("1.1", verdict.ENDED)
    assert node.text("1.1", "p0/out") == "10.0.0.1:77\n"


def test_a_gang_gives_up_when_the_gate_stays_shut(node: Node) -> None:
    node.launch("1.1", LEDGER, gang=True, gate_s=0.3)
    facts = node.until("1.1", verdict.NEVER_STARTED)
    assert "not ready in time" in verdict.reason(facts)
    assert node.begun() == 0


def test_a_waiting_gang_can_be_stopped(node: Node) -> None:
    node.launch("1.1", LEDGER, gang=True, gate_s=100)
    node.until("1.1", verdict.READY)
    node.stop("1.1", why="preempted")
    assert node.until("1.1", verdict.ENDED)["final"]["why"] == "preempted"
    assert node.begun() == 0


def test_a_shepherd_inside_a_job_of_a_shepherd(node: Node, tmp_path: Path) -> None:
    """The inner attempt's end does not touch the outer one; the outer one's takes the inner with it."""
    inner = Node(tmp_path / "inner")
    (tmp_path / "inner").mkdir()
    real.perform(folder.write_spec(inner.paths, "5.1", inner.spec("5.1", "echo up; sleep 300")))
    real.perform(folder.write_spec(inner.paths, "6.1", inner.spec("6.1", "sleep 300")))
    real.perform(folder.write_stop(inner.paths, "6.1", _order("user", 0.0)))
    code = (
        "from afield.runner import folder, keeper; import time\n"
        f"c = keeper.connect(folder.paths('st1', home={str(inner.home)!r}), 'test')\n"
        "print([c.request({'do': 'start', 'attempt': a})['state'] for a in ('5.1', '6.1')], flush=True)\n"
        "time.sleep(300)"
    )
    source = str(Path(folder.__file__).parents[2])
    node.launch("1.1", processes=[{"rank": 0, "argv": [PYTHON, "-c", code], "variables": {"PYTHONPATH": source}}])
    inner.until("6.1", verdict.ENDED)
    inner.until("5.1", verdict.LIVE)
    assert node.word("1.1") == verdict.LIVE, (node.text("1.1", "p0/err"), os.listdir(tmp_path))
    node.stop("1.1")
    node.until("1.1", verdict.ENDED)
    assert not inner.facts("5.1")["processes"]["0"]["alive"]
    assert inner.facts("5.1")["lock"] == "free"
