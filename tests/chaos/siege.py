"""Kills at chosen labels: a file arms a label, the work goes on until somebody has passed it and died.

Labels that a quiet afield does not come to are provoked: a keeper takes up an attempt when its shepherd is killed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from afield.snapshot.take import take
from tests.chaos.arena import AGAIN_S, Arena, Tools
from tests.chaos.judge import Kill
from tests.chaos.labels import labels

LIVE = 6
PATIENCE_S = 60.0

PROVOKED = {
    **dict.fromkeys(("controller.take", "controller.token", "controller.door", "controller.fork"), ("controller",)),
    **dict.fromkeys(("controller.watch",), ("link",)),
    **dict.fromkeys(("link.keeper", "keeper.listen"), ("keeper",)),
    **dict.fromkeys(("link.fork",), ("clerk", "link")),
    **dict.fromkeys(("keeper.exit", "keeper.final", "keeper.lock", "keeper.reap"), ("shepherd",)),
    **dict.fromkeys(("keeper.stopping", "keeper.kill"), ("shepherd",)),
    **dict.fromkeys(("controller.seal", "link.seal"), ("shepherd", "keeper")),
}
ELSEWHERE = {
    "controller.gap": "a node's file must shrink under its reader",
    "controller.go": "an attempt on two nodes",
    "controller.uv": "a node without uv",
    "data.fetch": "a download; tests/e2e/test_data_kills.py",
    "data.file": "a push; tests/e2e/test_data_kills.py",
    "data.link": "a push; tests/e2e/test_data_kills.py",
    "environment.marker": "an environment to build",
    "environment.way": "an environment to build on a node without internet",
    "keep.take": "a job that continues another; tests/e2e/test_data_kills.py",
    "keeper.seal": "a shepherd killed between two programs; tests/e2e/test_runner_kill.py",
    "link.go": "an attempt on two nodes",
    "link.uv": "a node without uv",
    "shepherd.device": "a node with devices",
    "shepherd.login": "asked once a node",
    "shepherd.ready": "an attempt on two nodes",
    "shepherd.seal": "a start that is refused",
    "tidy.aside": "an environment that nobody used for days",
    "tidy.back": "an environment that is wanted in the moment it goes",
    "tidy.trash": "an environment that nobody used for days",
    "tree.discard": "a damaged copy of the code",
    "tree.restore": "a tree of several hundred files",
}
"""Labels that this siege does not come to, and what it would take. May only shrink."""


def besieged() -> list[str]:
    """Every label of the source that is killed at here, before and after the act."""
    return [label + after for label in sorted(labels() - set(ELSEWHERE)) for after in ("", "+")]


class Siege:
    """One arena whose processes die where files in `folder` say."""

    def __init__(self, tools: Tools, dice: random.Random, folder: Path) -> None:
        folder.mkdir()
        self.arena = Arena(tools, dice, {"AFIELD_KILL": f"@{folder}"})
        self.arena.extras = self._extras
        self.fallen: Counter[str] = Counter()
        self.missed: list[str] = []
        self._folder = folder
        self._edits = 0
        self._armed = 0.0

    def run(self, plan: Iterable[Sequence[str]]) -> list[str]:
        """Kill at each group of labels in turn; what the judge says in the end."""
        self.arena.ensure()
        for group in plan:
            self.strike(group)
        return self.arena.drain()

    def strike(self, group: Sequence[str]) -> None:
        """Arm these labels and work until all have killed somebody, or patience is over."""
        left, self._armed = set(group), time.time()
        for label in left:
            (self._folder / label).touch()
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            self.arena.drive(LIVE)
            for label in left:
                self._provoke(label)
            left -= {label for label in left if self._fell(label)}
            time.sleep(AGAIN_S)
        for label in left:
            (self._folder / label).unlink(missing_ok=True)
            self.missed.append(label)

    def _fell(self, label: str) -> bool:
        if (self._folder / label).exists():
            return False
        self.fallen[label] += 1
        role = label.partition(".")[0]
        self.arena.kills.append(Kill(self._armed, time.time(), "link" if role == "tree" else role, label=label))
        return True

    def _provoke(self, label: str) -> None:
        self.arena.stops = 0.6 if any(word in label for word in ("stop", "kill")) else 0.15
        for role in PROVOKED.get(label.removesuffix("+"), ()):
            if self.arena.dice.random() < 0.1:
                self.arena.kill(role)

    def _extras(self) -> dict[str, Any]:
        """Now and then a job with code of its own and stages before its program."""
        if self.arena.dice.random() < 0.6:
            return {}
        self._edits += 1
        (self.arena.sandbox.project / "edited.txt").write_text(str(self._edits))
        found = take(self.arena.sandbox.project, cache=self.arena.sandbox.cache, big=True)
        code = {"workspace": found.workspace, "tree": found.tree, "root": found.root}
        return {"code": code, "setup": ["true", str(self._edits)], "preflight": ["true"]}
