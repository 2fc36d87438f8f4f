"""Fixtures for tests that need the server as a process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.server.place import Place


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A server's place with a runtime folder of its own; a Unix socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="af-", dir="/tmp") as folder:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("AFIELD_RUNTIME_DIR", str(runtime))
        made = Place(Path(folder) / "state")
        yield made
        made.close()
