"""Fixtures for tests that need the server as a process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.server.place import Place


def _places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="af-", dir="/tmp") as folder:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("AFIELD_RUNTIME_DIR", str(runtime))
        made = Place(Path(folder) / "state")
        yield made
        made.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Place]:
    """One server for all tests of a module that ask for it; what they submit is there for the next."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        places = _places(monkeypatch)
        made = next(places)
        made.client.hello()
        monkeypatch.undo()
        yield made
        next(places, None)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A server's place with a runtime folder of its own; a Unix socket's path must be short."""
    yield from _places(monkeypatch)
