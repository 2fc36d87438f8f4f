"""A keeper inside the user manager's scope: when it is tried, with which words, and what happens where that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from afield.runner import door, verdict
from afield.runner.probe import user_name
from tests.e2e.runner_kit import Node

needs_systemd = pytest.mark.skipif(shutil.which("systemd-run") is None, reason="systemd-run is not installed")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The marks of a user manager that lingers, and a socket where nobody listens."""
    (tmp_path / "run" / "systemd").mkdir(parents=True)
    (tmp_path / "run" / "systemd" / "private").touch()
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / user_name(os.getuid())).touch()
    monkeypatch.setattr(door, "LINGER", f"{tmp_path}/linger/")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


@pytest.mark.parametrize(
    ("missing", "expected"), [("", True), ("run/systemd/private", False), (f"linger/{user_name(os.getuid())}", False)]
)
def test_a_scope_is_tried_only_where_a_manager_outlives_logins(manager: Path, missing: str, expected: bool) -> None:
    if missing:
        (manager / missing).unlink()
    mark = f"{manager}/linger/{user_name(os.getuid())}"
    assert door.lingering(str(manager / "run"), mark) is expected


@needs_systemd
def test_systemd_takes_our_words(manager: Path) -> None:
    """There is no manager to ask; what it says is about that, and not about our options."""
    told = subprocess.run([*door.SCOPE, "true"], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "bus" in told.stderr.lower(), told.stderr
    assert "option" not in told.stderr


@needs_systemd
def test_a_manager_that_does_not_answer_keeps_no_keeper_from_starting(manager: Path) -> None:
    node = Node(manager)
    try:
        assert node.launch("1.1", "exit 4")["state"] == "started"
        assert verdict.exits(node.until("1.1", verdict.ENDED)) == [{"rank": 0, "code": 4, "signal": None}]
    finally:
        node.close()


def test_no_systemd_at_all_keeps_no_keeper_from_starting(manager: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SCOPE", ["no-such-program", *door.SCOPE[1:]])
    node = Node(manager)
    try:
        assert node.launch("1.1", "exit 5")["state"] == "started"
        node.until("1.1", verdict.ENDED)
    finally:
        node.close()
