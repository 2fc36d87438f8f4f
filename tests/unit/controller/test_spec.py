"""What a launch asks for: how long the nodes of a gang wait for each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from afield.controller.spec import GATE_S, spec
from afield.model.ids import TreeHash
from afield.model.task import Code, Environment, EnvironmentKind, Task
from afield.runner.environment_way import WITHIN_S
from tests.unit.plan.worlds import Story


@pytest.mark.parametrize(
    ("task", "patient"),
    [
        (Task(("true",)), False),
        (Task(("true",), code=Code("w", TreeHash("t"), "/r")), True),
        (Task(("true",), environment=Environment(EnvironmentKind.REQUIREMENTS, "k")), True),
        (Task(("true",), setup=("make",)), True),
        (Task(("true",), preflight=("check",)), True),
    ],
    ids=["nothing", "code", "environment", "setup", "preflight"],
)
def test_who_is_ready_waits_as_long_as_another_may_build(task: Task, patient: bool) -> None:
    story = Story()
    nodes = [story.node("a", "g"), story.node("b", "g")]
    number = story.submit("2:[g]")
    story.step()
    job = replace(story.job(number), task=task)
    live = job.live
    assert live is not None
    waits = [spec("st", job, live, node, story.world.nodes)["gate_s"] for node in nodes]
    assert len(set(waits)) == 1
    assert (waits[0] > WITHIN_S) if patient else (waits[0] == GATE_S)
