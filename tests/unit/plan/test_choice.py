"""Which of several nodes that could take a job does, and the words for it."""

from __future__ import annotations

import pytest

from afield.model import event as ev
from afield.model.ids import AttemptId, Nonce
from afield.plan.choice import chosen
from afield.plan.place import Misfit, place
from tests.unit.plan.worlds import Story


def run(told: Story, request: str, *nodes: str) -> tuple[list[str], str]:
    """The nodes of a job that is placed now, and why these."""
    number = told.submit(request, *nodes)
    found = place(told.job(number), told.world)
    assert not isinstance(found, Misfit)
    attempt = AttemptId(number, 1)
    told.tell(ev.AttemptPlaced(attempt, Nonce("n"), found))
    job = told.job(number)
    return [str(node) for node in job.attempts[0].nodes], chosen(job, job.attempts[0], told.world)


def test_equal_nodes_never_take_turns_and_this_machine_comes_first() -> None:
    """Seen in a trial: the free disk of the minute chose between this machine and a remote one."""
    for disk in (90, 110):
        told = Story()
        told.node("box1", disk=100)
        told.node("here", backend="local", disk=disk)
        assert run(told, "[]") == (["here"], "nearest of 2 that fit")


@pytest.mark.parametrize(
    ("request_text", "node", "why"),
    [
        ("[]", "small", "fewest idle cores of 3 that fit"),
        ("2:[]", "small", "fewest idle cores of 3 that fit"),
        ("[mem=10G]", "lean", "least idle memory of 3 that fit"),
        ("[disk=50G]", "small", "least free disk of 3 that fit"),
        ("[cpu=20]", "big", ""),
    ],
)
def test_the_difference_is_named(request_text: str, node: str, why: str) -> None:
    told = Story()
    told.node("small", cpu=4.0, memory=64, disk=60, backend="local")
    told.node("lean", cpu=16.0, memory=32, disk=100)
    told.node("big", cpu=64.0, memory=256, disk=500)
    assert run(told, request_text) == ([node], why)


def test_devices_count_before_cores() -> None:
    told = Story()
    told.node("one", "a", cpu=64.0)
    told.node("two", *["a"] * 2, cpu=16.0)
    assert run(told, "[cpu=8]") == (["one"], "fewest idle devices of 2 that fit")
    assert run(told, "[2:a]") == (["two"], "")


def test_no_choice_no_words() -> None:
    told = Story()
    told.node("one")
    told.node("two")
    assert run(told, "[]") == (["one"], "first by name of 2 that fit")
    assert run(told, "[]", "two") == (["two"], "")
    nodes, why = run(told, "2:[cpu=5]")
    assert (sorted(nodes), why) == (["one", "two"], "")
