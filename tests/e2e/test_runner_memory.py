"""A program that the kernel kills for want of memory: a real control group with a real limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.runner import verdict
from tests.e2e.runner_kit import PYTHON, Node

LIMIT = 96 << 20
EAT = "import sys; kept = [b'x' * (1 << 20) for _ in range(400)]; sys.exit(len(kept) != 400)"
OLD, NEW = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with little memory."""
    old = (OLD / "memory.limit_in_bytes").exists()
    place = (OLD if old else NEW) / f"afield-test-{os.getpid()}"
    try:
        place.mkdir()
        (place / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        if place.is_dir():
            place.rmdir()
        pytest.skip(f"no control group for memory can be made here: {error}")
    yield place
    place.rmdir()


@pytest.fixture
def node(group: Path, tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    (group / "cgroup.procs").write_text(str(made.ask("ping")["pid"]))
    yield made
    made.close()
    while (group / "cgroup.procs").read_text():
        made.close()


def test_the_kernels_kill_is_told_as_what_it_is(node: Node) -> None:
    node.launch("1.1", [PYTHON, "-c", EAT])
    [ended] = verdict.exits(node.until("1.1", verdict.ENDED))
    assert (ended["signal"], ended["oom"]) == (9, {"of": "group", "count": 1})


def test_another_kill_is_not_blamed_on_it(node: Node) -> None:
    node.launch("1.1", "kill -9 $$")
    [ended] = verdict.exits(node.until("1.1", verdict.ENDED))
    assert (ended["signal"], ended["oom"]) == (9, {"of": "group", "count": 0})
