"""Real shepherds: what a program gets, how its end is written down, who is refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.runner import folder, real, verdict
from afield.testing.waiting import wait_until
from tests.e2e.runner_kit import LEDGER, PYTHON, Node, alive


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 126, 127, 128, 137, 143, 254, 255])
def test_exit_codes_are_kept(node: Node, code: int) -> None:
    assert node.launch("1.1", f"exit {code}")["state"] == "started"
    facts = node.until("1.1", verdict.ENDED)
    assert verdict.exits(facts) == [{"rank": 0, "code": code, "signal": None}]
    assert facts["final"]["cause"] == (None if code == 0 else 0)
    assert facts["final"]["by_us"] is False


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 10, 11, 13, 15, 24, 31, 34, 64])
def test_signals_are_kept_apart_from_codes(node: Node, number: int) -> None:
    node.launch("1.1", f"kill -{number} $$")
    facts = node.until("1.1", verdict.ENDED)
    ended = verdict.exits(facts)[0]
    assert (ended["rank"], ended["code"], ended["signal"]) == (0, None, number)
    assert ("oom" in ended) == (number == 9), "of every other signal the kernel's counters say nothing"
    assert facts["processes"]["0"]["exit"]["after_signal"] is False


def test_what_cannot_run_says_so_like_a_shell(node: Node, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("echo from a script without a first line")
    closed = tmp_path / "closed"
    closed.write_text("x")
    lost = tmp_path / "lost"
    lost.write_text("#!/no/such/interpreter\n")
    plain.chmod(0o755)
    lost.chmod(0o755)
    node.launch("1.1", ["python3x"], ["./missing"], [str(closed)], [str(plain)], [str(lost)], [""], grace_s=30)
    facts = node.until("1.1", verdict.ENDED)
    assert [e["code"] for e in verdict.exits(facts)] == [127, 127, 126, 0, 126, 127]
    assert node.text("1.1", "p0/err") == "afield: python3x: command not found\n"
    assert node.text("1.1", "p1/err") == "afield: ./missing: No such file or directory\n"
    assert node.text("1.1", "p2/err") == f"afield: {closed}: Permission denied\n"
    assert node.text("1.1", "p3/out") == "from a script without a first line\n"
    assert "interpreter" in node.text("1.1", "p4/err")


def test_a_folder_that_is_not_there_is_126(node: Node) -> None:
    node.launch("1.1", "true", code={"workspace": "w", "tree": "t", "cwd": "no/such"})
    assert verdict.exits(node.until("1.1", verdict.ENDED))[0]["code"] == 126
    assert "cannot enter" in node.text("1.1", "p0/err")


PEEK = r"""
import json, os, signal, sys
def is_open(n):
    try:
        return bool(os.fstat(n))
    except OSError:
        return False
print(json.dumps({
    "env": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read(), "umask": os.umask(0),
    "session": os.getsid(0) == os.getpid(), "oom": open("/proc/self/oom_score_adj").read().strip(),
    "ignored": [int(n) for n in (1, 2, 15, signal.SIGCHLD) if n != 2 and signal.getsignal(n) == signal.SIG_IGN],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "low": [n for n in range(3, 30) if is_open(n)],
}))
"""


def test_a_program_gets_a_clean_place(tmp_path: Path) -> None:
    node = Node(tmp_path, environ={"SSH_AUTH_SOCK": "/x", "SECRET": "x", "AFIELD_KILL_LOG": str(tmp_path / "log")})
    old = os.umask(0o027)
    try:
        node.launch("7.1", [PYTHON, "-c", PEEK], processes=node.spec("7.1", [PYTHON, "-c", PEEK])["processes"])
    finally:
        os.umask(old)
    try:
        node.until("7.1", verdict.ENDED)
        seen = json.loads(node.text("7.1", "p0/out"))
    finally:
        node.close()
    env = seen["env"]
    job = node.paths.job("7.1")
    assert {k: env[k] for k in ("JOB_DIR", "SRC_DIR", "KEEP_DIR", "OUTPUT_DIR", "RESULT_FILE")} == {
        "JOB_DIR": job,
        "SRC_DIR": job + "/src",
        "KEEP_DIR": job + "/keep",
        "OUTPUT_DIR": job + "/outputs",
        "RESULT_FILE": job + "/outputs/result",
    }
    assert env["AFIELD_MARK"] == folder.mark(node.spec("7.1"), "7.1")
    assert env["PYTHONUNBUFFERED"] == "1"
    assert env["MASTER_ADDR"] == "127.0.0.1"
    assert env["MASTER_PORT"].isdigit()
    assert not [k for k in env if k.startswith(("SSH_", "AFIELD_KILL")) or k == "SECRET"]
    assert seen["cwd"] == job + "/src"
    assert (seen["stdin"], seen["umask"], seen["session"], seen["oom"]) == ("", 0o027, True, "500")
    assert (seen["ignored"], seen["mask"], seen["low"]) == ([], [], [])


def test_output_of_both_streams_in_one_file_keeps_its_order(node: Node) -> None:
    node.launch("1.1", "echo a; echo b >&2; echo c", merge=True)
    node.until("1.1", verdict.ENDED)
    assert node.text("1.1", "p0/out") == "a\nb\nc\n"


def test_arguments_that_are_no_utf8_arrive_as_they_are(node: Node) -> None:
    odd = b"\xff\xfe ~'\"$".decode("utf-8", "surrogateescape")
    node.launch("1.1", ["/usr/bin/printf", "%s", odd])
    node.until("1.1", verdict.ENDED)
    assert Path(node.paths.run("1.1"), "p0/out").read_bytes() == b"\xff\xfe ~'\"$"


# ---- refusing --------------------------------------------------------------------------------------------------------


def test_a_second_start_changes_nothing(node: Node) -> None:
    node.launch("1.1", LEDGER + "sleep 1; exit 5")
    assert node.ask("start", attempt="1.1")["state"] == "already"
    node.until("1.1", verdict.ENDED)
    assert node.ask("start", attempt="1.1")["state"] == "already"
    assert verdict.exits(node.facts("1.1")) == [{"rank": 0, "code": 5, "signal": None}]
    assert node.begun() == 1


def test_racing_starts_run_it_once(node: Node) -> None:
    real.perform(folder.write_spec(node.paths, "1.1", node.spec("1.1", LEDGER + "sleep 0.3")))
    states: list[str] = []
    threads = [
        threading.Thread(target=lambda: states.append(node.ask("start", attempt="1.1")["state"])) for _ in range(8)
    ]
    node.ask("ping")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.until("1.1", verdict.ENDED)
    assert node.begun() == 1
    assert set(states) <= {"started", "already"}


def test_two_keepers_start_it_once(node: Node) -> None:
    from afield.runner import keeper

    real.perform(folder.write_spec(node.paths, "1.1", node.spec("1.1", LEDGER + "sleep 0.5")))
    clients = [keeper.connect(node.paths, digest) for digest in ("one", "two")]
    threads = [threading.Thread(target=client.request, args=({"do": "start", "attempt": "1.1"},)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.until("1.1", verdict.ENDED)
    assert node.begun() == 1


def test_a_sealed_folder_starts_nothing(node: Node) -> None:
    real.perform(folder.write_spec(node.paths, "1.1", node.spec("1.1", LEDGER)))
    real.perform(folder.seal(node.paths, "1.1", "given up", "controller"))
    reply = node.ask("start", attempt="1.1")
    assert (reply["state"], reply["reason"]) == ("sealed", "given up")
    facts = node.until("1.1", verdict.NEVER_STARTED)
    assert verdict.reason(facts) == "given up"
    assert node.begun() == 0


def test_an_older_attempt_or_a_removed_folder_starts_nothing(node: Node) -> None:
    node.launch("4.2", LEDGER)
    node.until("4.2", verdict.ENDED)
    assert node.launch("4.1", LEDGER)["state"] == "sealed"
    os.rename(node.paths.run("4.2"), node.paths.run("4.2") + ".gone")
    reply = node.launch("4.2", LEDGER)
    assert reply["state"] == "sealed"
    assert "attempt 2 of job 4" in reply["reason"]
    assert node.word("4.1") == node.word("4.2") == verdict.NEVER_STARTED
    assert node.launch("4.3", LEDGER)["state"] == "started"
    node.until("4.3", verdict.ENDED)
    assert node.begun() == 2


def test_a_device_is_given_once_whatever_the_store(node: Node, tmp_path: Path) -> None:
    other = Node(tmp_path, store="st2")
    gpu = {"rank": 0, "argv": ["sh", "-c", "echo up; exec sleep 60"], "devices": ["GPU-1/a"]}
    node.launch("1.1", processes=[gpu])
    reply = other.launch("9.1", processes=[dict(gpu, rank=0)])
    assert reply["state"] == "sealed"
    assert reply["reason"] == "device GPU-1/a is held by job 1 of store st1, user ann"
    assert other.word("9.1") == verdict.NEVER_STARTED
    # A killed shepherd and keeper do not free it while the program lives.
    wait_until(lambda: node.text("1.1", "p0/out"), show=lambda: node.facts("1.1"))
    program = node.facts("1.1")["processes"]["0"]["started"]["pid"]
    node.kill(node.ask("ping")["pid"])
    node.kill(node.shepherd("1.1"))
    wait_until(lambda: node.word("1.1") == verdict.ORPHAN, show=lambda: node.facts("1.1"))
    assert other.launch("9.2", processes=[gpu])["state"] == "sealed"
    node.kill(program)
    wait_until(lambda: not alive(program))
    assert other.launch("9.3", processes=[gpu])["state"] == "started"


def test_bad_names_are_refused(node: Node) -> None:
    for name in ("../x", "1", "1.0", "a/b.1", ""):
        assert "error" in node.ask("start", attempt=name)
    assert "error" in node.ask("dance")


def test_a_long_home_is_no_trouble(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 30)
    home.mkdir()
    node = Node(home)
    try:
        node.launch("1.1", "exit 4")
        assert verdict.exits(node.until("1.1", verdict.ENDED))[0]["code"] == 4
    finally:
        node.close()
