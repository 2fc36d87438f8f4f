"""Why a job waits, in words: never empty, never long, and true."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from afield.model import event as ev
from afield.model.ids import JobNumber, NodeName
from afield.model.node import Health
from afield.model.policy import Policy
from afield.plan.explain import Explanation, explain, reasons
from tests.unit.plan.test_histories import histories
from tests.unit.plan.worlds import Story


def why(told: Story, number: int) -> Explanation:
    return explain(told.job(number), told.world, told.now)


def test_no_nodes() -> None:
    told = Story()
    told.submit()
    found = why(told, 1)
    assert found.reason == "nothing fits: there are no nodes"
    assert found.would_start == ("afield node add HOST",)


def test_no_such_node() -> None:
    told = Story()
    told.node("box1")
    told.submit("[]", "box9")
    assert why(told, 1).reason == "nothing fits: no node is called box9"


def test_not_big_enough() -> None:
    told = Story()
    told.node("box1", "a")
    told.submit("[2:a]")
    found = why(told, 1)
    assert found.reason == "nothing fits: no node has 2 a"
    assert found.lines == ("box1 has 1 a with 16G, 8 cores, 64G memory, 100G free disk",)


@pytest.mark.parametrize(
    ("health", "reason", "cure"),
    [
        (Health.NEW, "box1 has not answered yet", "box1 is ready"),
        (Health.UNREACHABLE, "box1 is unreachable", "mend box1"),
        (Health.NEEDS_LOGIN, "box1 needs a login", "afield node login box1"),
        (Health.DRAINING, "box1 is draining", "box1 is ready"),
    ],
)
def test_a_node_that_is_away(health: Health, reason: str, cure: str) -> None:
    told = Story()
    told.node("box1", health=health)
    told.submit()
    found = why(told, 1)
    assert found.reason == reason
    assert cure in found.would_start
    assert found.binds == (reason,)


def test_drained() -> None:
    told = Story()
    box = told.node("box1")
    told.tell(ev.NodeSet(box, drained=True))
    told.submit()
    found = why(told, 1)
    assert (found.reason, found.would_start) == ("box1 is drained", ("afield node set box1 drained=false",))


def test_the_node_that_fits_is_away() -> None:
    told = Story()
    told.node("box1", "a", health=Health.UNREACHABLE)
    told.node("box2")
    told.submit("[a]")
    found = why(told, 1)
    assert found.reason == "[a] does not fit on the nodes that are ready; box1 is unreachable"
    assert "box1 said so" in found.lines[0]


def test_a_stranger() -> None:
    told = Story()
    told.node("box1", "a", busy=(0,))
    told.submit("[a]")
    found = why(told, 1)
    assert "ana 77 (not a job) on box1, a 0" in found.reason
    assert found.held_by == ("ana 77 (not a job) on box1, a 0",)
    assert found.would_start == ("ana 77 (not a job) on box1, a 0 ends",)


def test_held_by_jobs() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    told.submit("[a]")
    told.submit("[3:a]")
    told.step()
    told.submit("[2:a]")
    found = why(told, 3)
    assert found.reason == "waits for 2 a, held by job 1 and job 2"
    assert found.held_by == ("job 1 on box1", "job 2 on box1")
    assert found.would_start == ("job 2 ends",)
    assert "box1 has 4 a" in found.lines[0]


def test_only_those_that_hold_what_is_missing_are_named() -> None:
    told = Story()
    told.node("box1", "a", "b")
    told.submit("[a]")
    told.submit("[b,mem=8G]")
    told.submit("[cpu=1]")
    told.step()
    told.submit("[b]")
    found = why(told, 4)
    assert found.reason == "waits for 1 b, held by job 2"
    assert found.held_by == ("job 2 on box1",)
    assert found.would_start == ("job 2 ends",)
    told.submit("[mem=60G]")
    assert why(told, 5).reason == "waits for 60G memory, held by job 2"


def test_a_node_that_is_being_drained() -> None:
    told = Story()
    box = told.node("box1", "a")
    told.submit("[a]")
    told.step()
    told.tell(ev.NodeSet(box, drained=True))
    told.submit("[a]")
    assert why(told, 2).reason == "box1 is draining"


def test_an_unreachable_node_is_named_once() -> None:
    told = Story()
    told.node("box1", health=Health.UNREACHABLE)
    told.submit()
    found = why(told, 1)
    assert (found.reason, found.lines) == ("box1 is unreachable", ("box1 said so",))


def test_held_by_more_than_one() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    for _ in range(4):
        told.submit("[a]")
    told.step()
    told.submit("[2:a]")
    assert why(told, 5).would_start == ("enough of these end: job 1, job 2, job 3 and job 4",)


def test_behind_another_in_line() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    told.submit("[2:a]")
    told.step()
    told.submit("[4:a]")
    told.submit("[a]")
    found = why(told, 3)
    assert found.reason == "behind job 2 in line, which waits for [4:a]"
    assert found.held_by == ("job 2",)
    assert why(told, 2).reason == "waits for 4 a, held by job 1"


def test_behind_the_one_that_waits_for_the_same() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    told.node("box2", *["b"] * 4)
    told.submit("[2:a]")
    told.submit("[2:b]")
    told.step()
    for request in ("[4:a]", "[4:b]", "[b]"):
        told.submit(request)
    assert why(told, 5).reason == "behind job 4 in line, which waits for [4:b]"


def test_behind_one_that_starts_now() -> None:
    told = Story()
    told.node("box1", "a")
    told.submit("[a]")
    told.submit("[a]")
    assert why(told, 1).reason == "has room and starts now"
    assert why(told, 2).reason == "behind job 1 in line, which starts now"


def test_a_hold_and_a_backoff() -> None:
    told = Story()
    told.node("box1")
    told.submit("[]", policy=Policy.RESUME)
    told.start(1)
    told.now += 3600
    told.lose(1)
    before = why(told, 1)
    told.step()
    found = why(told, 1)
    assert found == before, "said alike before and after the time is recorded"
    assert found.reason.startswith("tries again at 01:17:")
    assert "attempt 1 was lost: reboot" in found.reason
    told.tell(ev.JobHeld(JobNumber(1), "look at box1"))
    assert why(told, 1).reason == "held: look at box1"
    assert why(told, 1).would_start == ("job 1 is released",)


def test_what_does_not_wait_says_where_it_is() -> None:
    told = Story()
    told.node("box1")
    told.submit()
    told.start(1)
    assert why(told, 1).reason == "it is running on box1"
    told.exit(1)
    assert "succeeded" in why(told, 1).reason
    told.step()
    assert why(told, 1).reason == "it is over: succeeded"


def test_a_wish_to_stop() -> None:
    told = Story()
    told.submit()
    told.stop(1)
    assert why(told, 1).reason == "it was asked to stop and ends now"


def test_a_slice_that_is_not_whole() -> None:
    told = Story()
    told.node("pod-0", "v4", slice="pod")
    told.node("pod-1", "v4", slice="pod")
    told.tell(ev.NodeObserved(NodeName("pod-1"), Health.UNREACHABLE))
    told.submit("[v4]")
    found = why(told, 1)
    assert found.reason == ("no node is ready: pod-0 waits for the other nodes of slice pod and pod-1 is unreachable")


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_job_that_waits_always_has_a_reason(told: Story) -> None:
    short = reasons(told.world, told.now)
    for job in told.world.jobs.values():
        found = explain(job, told.world, told.now)
        assert found.reason.strip()
        assert "\n" not in found.reason
        if job.waiting:
            assert found.would_start
            assert all(text.strip() for text in (*found.binds, *found.held_by, *found.would_start, *found.lines))
            assert short[job.number] == found.reason
