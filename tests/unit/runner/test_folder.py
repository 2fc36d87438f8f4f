"""Run folders on a real disk: what is evidence, what is not, and what a seal does."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from afield.runner import effects, folder, real, verdict

NONCE = "0123456789abcdef"


@pytest.fixture
def paths(tmp_path: Path) -> folder.Paths:
    return folder.paths("st", home=str(tmp_path))


def _spec(nonce: str = NONCE, ranks: int = 1) -> dict[str, Any]:
    processes = [{"rank": rank, "argv": ["true"]} for rank in range(ranks)]
    return {"store": "st", "job": 1, "attempt": 1, "node": "n", "nonce": nonce, "processes": processes}


def _write(paths: folder.Paths, nonce: str = NONCE) -> str:
    return str(real.perform(folder.write_spec(paths, "1.1", _spec(nonce))))


def _facts(paths: folder.Paths) -> dict[str, Any]:
    return real.perform(folder.facts(paths, "1.1"))


@pytest.mark.parametrize("name", ["", "1", "1.", ".1", "1.0", "1.x", "a/b.1", "../1.1"])
def test_what_is_no_attempt(name: str) -> None:
    with pytest.raises(ValueError, match="not an attempt"):
        folder.split(name)


def test_a_spec_is_written_once(paths: folder.Paths) -> None:
    assert [_write(paths), _write(paths), _write(paths, "f" * 16)] == ["written", "same", "other"]
    assert _facts(paths)["spec"] is True
    assert os.stat(paths.run("1.1")).st_mode & 0o777 == 0o700


def test_foreign_and_torn_files_are_no_evidence(paths: folder.Paths) -> None:
    _write(paths)
    run = Path(paths.run("1.1"))
    (run / "p0").mkdir()
    (run / "p0/started.json").write_text(json.dumps({"nonce": "other", "boot": "b", "pid": 1, "start": 1}))
    (run / "p0/exit.json").write_text('{"nonce":"0123456789abcdef","code":0')
    (run / "final.json").write_text("[]")
    (run / "stop.1").write_text(json.dumps({"nonce": "other", "why": "user"}))
    facts = _facts(paths)
    assert facts["processes"]["0"]["started"] is None
    assert facts["processes"]["0"]["exit"] is None
    assert facts["final"] is None
    assert real.perform(folder.stops(str(run), NONCE)) == []
    assert verdict.verdict(facts) == verdict.ABSENT


def test_a_link_is_not_followed(paths: folder.Paths, tmp_path: Path) -> None:
    _write(paths)
    (tmp_path / "elsewhere").write_text(json.dumps({"nonce": NONCE, "why": None}))
    os.symlink(tmp_path / "elsewhere", paths.run("1.1") + "/final.json")
    assert _facts(paths)["final"] is None


def test_a_seal_that_cannot_be_read_is_a_seal(paths: folder.Paths) -> None:
    _write(paths)
    Path(paths.run("1.1"), "sealed").write_text("{")
    assert _facts(paths)["sealed"] == {"reason": "", "by": ""}


def test_sealing_needs_the_lock_and_happens_once(paths: folder.Paths) -> None:
    _write(paths)
    with open(paths.run("1.1") + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        facts = real.perform(folder.seal(paths, "1.1", "first", "a"))
        assert (facts["lock"], facts["sealed"]) == ("held", None)
    assert real.perform(folder.seal(paths, "1.1", "second", "b"))["sealed"] == {"reason": "second", "by": "b"}
    facts = real.perform(folder.seal(paths, "1.1", "third", "c"))
    assert facts["sealed"] == {"reason": "second", "by": "b"}
    assert verdict.verdict(facts) == verdict.NEVER_STARTED
    assert real.perform(effects_of(effects.Peek(paths.run("1.1") + "/lock"))) == "free"


def test_an_attempt_that_never_came_can_be_sealed(paths: folder.Paths) -> None:
    facts = real.perform(folder.seal(paths, "1.1", "too late", "a"))
    assert (facts["spec"], verdict.verdict(facts)) == (False, verdict.NEVER_STARTED)


def test_orders_are_kept_as_first_given(paths: folder.Paths) -> None:
    _write(paths)
    run = paths.run("1.1")
    for why in ("user", "preempted"):
        real.perform(folder.write_stop(paths, "1.1", {"k": 1, "why": why, "grace_s": 2, "by": "ann"}))
        real.perform(folder.write_go(paths, "1.1", {"MASTER_ADDR": why}))
    real.perform(folder.write_stop(paths, "1.1", {"k": 12, "why": "user", "grace_s": 0, "by": "ann"}))
    assert [order["why"] for order in real.perform(folder.stops(run, NONCE))] == ["user", "user"]
    assert real.perform(folder.load(run + "/go", NONCE))["variables"] == {"MASTER_ADDR": "user"}
    assert _facts(paths)["stops"] == 12
    real.perform(folder.write_ack(paths, "1.1"))
    assert _facts(paths)["acked"] is True


def test_orders_for_nothing_make_nothing(paths: folder.Paths) -> None:
    real.perform(folder.write_stop(paths, "1.1", {"k": 1, "why": "user", "grace_s": 2, "by": "ann"}))
    real.perform(folder.write_ack(paths, "1.1"))
    assert not os.path.exists(paths.run("1.1"))


def test_the_high_water_mark_survives_torn_lines(paths: folder.Paths) -> None:
    os.makedirs(paths.runs)
    Path(paths.high_water).write_bytes(b"\n7 2\n\xff\xfe\n7\n8 30\n7 1")
    assert real.perform(folder.high_water(paths, "7")) == 2
    real.perform(folder.raise_high_water(paths, "7.3", ""))
    assert real.perform(folder.high_water(paths, "7")) == 3
    assert real.perform(folder.high_water(paths, "8")) == 30
    assert real.perform(folder.high_water(paths, "9")) == 0


def test_a_signal_goes_to_an_identity_never_to_a_number(paths: folder.Paths) -> None:
    pid = os.fork()
    if not pid:
        os.execv("/bin/sleep", ["sleep", "60"])
    start, _, parent = real.perform(effects_of(effects.Identity(pid)))
    assert parent == os.getpid()
    assert real.perform(effects_of(effects.Signal(pid, start + 1, 9))) is False
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert real.perform(effects_of(effects.Signal(pid, start, 9))) is True
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    assert real.perform(effects_of(effects.Signal(pid, start, 9))) is False


def effects_of(effect: effects.Effect) -> Any:
    """Logic of one effect."""
    return (yield effect)
