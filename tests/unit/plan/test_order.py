"""Who is next, and that nobody in line is delayed by who comes later."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.model import event as ev
from afield.model.ids import JobNumber, NodeName
from afield.model.node import Health
from afield.model.policy import Policy
from afield.model.request import format
from afield.plan.order import line
from afield.plan.place import Misfit, place
from tests.unit.plan.test_place import fleets, small_requests
from tests.unit.plan.worlds import Story


def running(told: Story) -> list[int]:
    return sorted(j.number for j in told.world.jobs.values() if j.live is not None)


def test_priority_then_share_then_first_come() -> None:
    told = Story()
    for priority in (0, 5, 0, 5):
        told.submit(priority=priority)
    assert [j.number for j in line(told.world, told.now)] == [2, 4, 1, 3]
    told.tell(ev.JobSubmitted(JobNumber(5), "k", "", "", "bob", told.job(1).task, told.job(1).request, Policy.PASS, 5))
    used = {"ana": 3.0, "bob": 1.0}
    assert [j.number for j in line(told.world, told.now, used.__getitem__)] == [5, 2, 4, 1, 3]


def test_who_is_held_backs_off_or_stops_is_not_in_line() -> None:
    told = Story()
    for _ in range(4):
        told.submit()
    told.tell(ev.JobHeld(JobNumber(1), "look"), ev.JobHeld(JobNumber(2), "later", until=told.now + 5))
    told.stop(3)
    assert [j.number for j in line(told.world, told.now)] == [4]
    assert [j.number for j in line(told.world, told.now + 5)] == [2, 4]


def test_a_small_job_does_not_pass_a_big_one_on_what_it_waits_for() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    told.submit("[2:a]")
    told.step()
    told.submit("[4:a]")
    told.submit("[a]")
    told.step()
    assert running(told) == [1]
    told.start(1)
    told.exit(1)
    told.step()
    assert running(told) == [2]


def test_a_job_passes_where_it_takes_nothing_that_is_waited_for() -> None:
    told = Story()
    told.node("box1", *["a"] * 4, cpu=16.0)
    told.node("box2", *["b"] * 4)
    told.submit("[2:a]")
    told.step()
    told.submit("[4:a,cpu=4]")
    told.submit("[a]")
    told.submit("[b]")
    told.step()
    assert running(told) == [1, 4]


@pytest.mark.parametrize(
    ("holds", "waits", "passes", "refused"),
    [
        ("[2:a]", "[4:a,cpu=4]", "[cpu=11]", "[cpu=12]"),
        ("[2:a]", "2:[2:a]", "[cpu=13]", "[cpu=14]"),
        ("[mem=50G]", "[mem=60G,disk=10G]", "[disk=90G]", "[disk=91G]"),
        ("[mem=50G]", "[mem=60G]", "[disk=100G]", "[mem=1G]"),
        ("[4:a]", "[a,mem=24G]", "[mem=40G]", "[mem=41G]"),
        ("[4:a]", "[a]", "[2:b]", "[3:gpu]"),
        ("[3:a]", "[4:gpu]", "[]", "[b]"),
        ("[3:a]", "[2:a]", "[gpu]", "[a]"),
        ("[3:a]", "[2:a]", "[2:b]", "[3:gpu]"),
        ("[3:a]", "[4:gpu]", "[cpu=14]", "[b,cpu=1]"),
    ],
)
def test_what_may_pass(holds: str, waits: str, passes: str, refused: str) -> None:
    """On one node with 4 a, 2 b, 16 cores, 64G, 100G: job 1 holds, job 2 waits, job 3 comes later."""
    for request, passed in ((passes, True), (refused, False)):
        told = Story()
        told.node("box1", *["a"] * 4, *["b"] * 2, cpu=16.0)
        told.submit(holds)
        told.step()
        told.submit(waits)
        told.submit(request)
        told.step()
        assert running(told) == ([1, 3] if passed else [1]), request


def test_a_job_passes_one_that_waits_for_a_silent_node_or_a_stranger() -> None:
    told = Story()
    told.node("box1", *["a"] * 2)
    told.node("box2", *["a"] * 2, busy=(0,))
    told.tell(ev.NodeObserved(NodeName("box1"), Health.UNREACHABLE))
    told.submit("[2:a]")
    told.submit("[a]")
    told.step()
    assert running(told) == [2]


def test_a_slice_that_is_waited_for_is_not_nibbled_at() -> None:
    told = Story()
    for i in range(2):
        told.node(f"pod-{i}", *["v4"] * 4, slice="pod")
        told.node(f"den-{i}", *["v4"] * 4, slice="den")
    told.submit("2:[4:v4]")
    told.step()
    told.submit("4:[4:v4]")
    told.submit("[v4]")
    told.step()
    assert running(told) == [1]


def test_a_gang_that_waits_keeps_an_idle_node() -> None:
    told = Story()
    told.node("box1", "a")
    told.node("box2", "a")
    told.submit("[a]")
    told.step()
    told.submit("2:[a]")
    told.submit("[a]")
    told.submit("[]")
    told.step()
    assert running(told) == [1, 4]


def test_everybody_starts_in_the_end_although_small_jobs_keep_coming() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    for _ in range(4):
        told.submit("[a]")
    told.step()
    big = told.submit("[4:a]")
    for _ in range(30):
        told.submit("[a]")
        told.step()
        if told.job(big).live is not None:
            return
        oldest = running(told)[0]
        told.start(oldest)
        told.exit(oldest)
    raise AssertionError(f"job {big} starves; running: {running(told)}")


@settings(max_examples=60, deadline=None)
@given(fleets(), small_requests, st.lists(small_requests, max_size=4), st.randoms(use_true_random=False))
def test_the_first_in_line_starts_no_later_than_without_the_others(told, head, others, order) -> None:
    """Whatever ends in whatever order: when the first in line would fit without the later ones, it fits with them."""
    told.step()
    before = running(told)
    first = told.submit(format(head), priority=9)
    told.step()
    for request in others:
        told.submit(format(request))
    told.step()
    later = frozenset(running(told)) - set(before)
    ending = list(before)
    order.shuffle(ending)
    while told.job(first).live is None:
        alone = Story()
        alone.world.nodes = told.world.nodes
        alone.world.jobs = {n: j for n, j in told.world.jobs.items() if n not in later}
        fits_alone = not isinstance(place(told.job(first), alone.world), Misfit)
        assert fits_alone == (not isinstance(place(told.job(first), told.world), Misfit))
        if not ending:
            break
        gone = ending.pop()
        told.start(gone)
        told.exit(gone)
        if fits_alone:
            break
