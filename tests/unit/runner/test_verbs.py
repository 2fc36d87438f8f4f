"""What a link does beside answering: spares of a workspace are made after launches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from afield.runner.folder import Paths
from afield.runner.verbs import Verbs

LAUNCH = {"do": "launch", "spec": {"job": 1, "attempt": 1, "code": {"workspace": "w1"}}}


class Desk:
    """Stands for the clerks: what is given stays under way until it is finished."""

    def __init__(self, tmp_path: Path) -> None:
        self.running: dict[int, Any] = {}
        self.follower = SimpleNamespace(poke=lambda _attempt: None)
        self.paths = Paths("store0", str(tmp_path), str(tmp_path))
        self.verbs = Verbs(self)
        self.verbs.clerks = cast(Any, self)

    def give(self, number: int, head: dict[str, Any], last: bool = False) -> Any:
        return SimpleNamespace(number=number, head=head, reply={})

    def launched(self) -> None:
        self.verbs.finished(SimpleNamespace(head=LAUNCH, reply={"state": "launched"}))

    def refilled(self) -> None:
        number, child = self.running.popitem()
        assert number == child.number
        self.verbs.finished(child)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_spares_taken_while_spares_are_made_are_made_again(desk: Desk) -> None:
    for _ in range(3):
        desk.launched()
    assert [c.head["do"] for c in desk.running.values()] == ["refill"]
    desk.refilled()
    assert [c.head["do"] for c in desk.running.values()] == ["refill"]
    desk.refilled()
    assert desk.running == {}
