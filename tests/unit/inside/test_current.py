"""What a program may know of its job and say of itself, in a job and outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afield.inside.current import Current


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a job that this process pretends to be."""
    named = {"AFIELD_MARK": "m", "AFIELD_JOB": "12", "AFIELD_ATTEMPT": "2", "AFIELD_NODE": "box1", "AFIELD_RESUME": "1"}
    places = {"JOB_DIR": tmp_path, "OUTPUT_DIR": tmp_path / "outputs", "KEEP_DIR": tmp_path / "keep"}
    for name, value in {**named, **places, "RANK": "3", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_job_knows_itself(job: Path) -> None:
    now = Current()
    assert (now.inside, now.job, now.attempt, now.node, now.resuming) == (True, 12, 2, "box1", True)
    assert (now.rank, now.world_size) == (3, 4)
    assert (now.output_dir, now.keep_dir) == (job / "outputs", job / "keep")
    assert now.output_dir.is_dir()


def test_metrics_are_lines_in_order(job: Path) -> None:
    now = Current()
    now.metric(step=1, loss=0.5)
    now.metric(step=2, loss=0.25, accuracy=1)
    found = lines(job / "metrics/3")
    assert [line["step"] for line in found] == [1, 2]
    assert found[1]["values"] == {"loss": 0.25, "accuracy": 1.0}
    with pytest.raises((TypeError, ValueError)):
        now.metric(loss="much")  # type: ignore[arg-type]


def test_progress_holds_the_last_word_and_is_not_written_at_every_step(job: Path) -> None:
    now = Current()
    for step in range(10_001):
        now.progress(step, 10_000)
        if step == 5:
            (first,) = lines(job / "progress/3")
            assert first["done"] == 0.0
    (last,) = lines(job / "progress/3")
    assert (last["done"], last["total"]) == (10_000.0, 10_000.0)
    assert [path.name for path in (job / "progress").iterdir()] == ["3"]


def test_a_disk_that_refuses_does_not_stop_the_program(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DIR", "/proc/nowhere")
    now = Current()
    now.metric(loss=1)
    now.progress(1)


def test_outside_a_job_all_is_there_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AFIELD_MARK", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    now = Current()
    now.metric(loss=1)
    now.progress(1, 2)
    assert not list(tmp_path.iterdir())
    assert (now.inside, now.job, now.attempt, now.node, now.resuming) == (False, 0, 0, "", False)
    assert (now.rank, now.world_size) == (0, 1)
    assert now.output_dir == tmp_path / "outputs/local"
    assert now.keep_dir.is_dir()


STOP = """
import sys, time
from afield.inside.current import current
now = current()
print(now.stop_requested(), flush=True)
while not now.stop_requested():
    time.sleep(0.01)
print("saved")
"""


def test_a_request_to_stop_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", STOP], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "False\n"
        os.kill(program.pid, signal.SIGTERM)
        assert program.stdout.read() == "saved\n"
        assert program.wait(30) == 0
