"""What follows from run folders: a table of facts, and the events and orders that they mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from afield.controller.settle import REMOVED, Order, assess
from afield.model.attempt import Attempt, Exited, Outcome, Placement, State, Why
from afield.model.event import AttemptExited, AttemptGone, AttemptStarted, NeverStarted, PrepareFailed
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.model.machine import by_exits
from afield.model.task import End

A, B = NodeName("a"), NodeName("b")


def facts(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "spec": True,
        "sealed": None,
        "lock": "held",
        "boot": "b1",
        "ready": None,
        "final": None,
        "acked": False,
        "stops": 0,
        "stages": {},
        "processes": {},
    }
    return {**base, **changes}


def process(*, code: int | None = None, signal: int | None = None, alive: bool = False) -> dict[str, Any]:
    ended = None if code is None and signal is None else {"code": code, "signal": signal, "by": "shepherd"}
    return {"started": {"boot": "b1", "pid": 1, "start": 1}, "exit": ended, "alive": alive, "out": 0, "err": 0}


def final(**changes: Any) -> dict[str, Any]:
    return {"by_us": False, "why": None, "cause": None, "survivors": [], "stage": None, **changes}


def attempt(*nodes: NodeName, state: State = State.PREPARING, why: Why | None = None) -> Attempt:
    placements = tuple(Placement(rank=i, group=0, index=i, node=n) for i, n in enumerate(nodes))
    return Attempt(AttemptId(JobNumber(1), 1), Nonce("n"), placements, placed_at=0.0, state=state, why=why)


def test_success_is_started_and_exited() -> None:
    told = assess(attempt(A), End.ALL, {A: facts(lock="free", processes={"0": process(code=0)}, final=final())})
    assert [type(e) for e in told.events] == [AttemptStarted, AttemptExited]
    assert told.orders == []


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "killed by SIGKILL"),
        ({"oom": None}, "killed by SIGKILL; afield did not send it; memory may have run out"),
        (
            {"oom": {"of": "group", "count": 1}},
            "killed by SIGKILL; the kernel killed once for want of memory in its control group while it ran",
        ),
        (
            {"oom": {"of": "node", "count": 2}},
            "killed by SIGKILL; the kernel killed 2 times for want of memory on its node while it ran",
        ),
        (
            {"oom": {"of": "group", "count": 0}},
            "killed by SIGKILL; afield did not send it, and the kernel counts no kill for want of memory",
        ),
    ],
)
def test_what_is_known_of_a_kill_is_said_and_nothing_more(known: dict[str, Any], said: str) -> None:
    ended = process(signal=9)
    ended["exit"] |= known
    told = assess(attempt(A), End.ALL, {A: facts(lock="free", processes={"0": ended}, final=final())})
    assert isinstance(told.events[-1], AttemptExited)
    assert [e.how for e in told.events[-1].exits] == [said]


def test_a_signal_is_called_by_its_name() -> None:
    assert [Exited(0, signal=n).how for n in (11, 15, 40)] == [
        "killed by SIGSEGV",
        "killed by SIGTERM",
        "killed by signal 40",
    ]


def test_a_silent_node_proves_nothing() -> None:
    told = assess(attempt(A, state=State.RUNNING), End.ALL, {})
    assert told.events == []
    assert told.orders == []


def test_absent_is_launched_unless_it_is_to_stop() -> None:
    nothing = facts(spec=False, lock="none")
    assert [o.verb for o in assess(attempt(A), End.ALL, {A: nothing}).orders] == ["launch"]
    stopping = attempt(A, state=State.STOPPING, why=Why.USER)
    assert [o.verb for o in assess(stopping, End.ALL, {A: nothing}).orders] == ["seal"]


def test_sealed_without_start_never_started() -> None:
    sealed = facts(lock="free", sealed={"reason": "device gpu0 is held by pid 7", "by": "shepherd"})
    (event,) = assess(attempt(A), End.ALL, {A: sealed}).events
    assert event == NeverStarted(AttemptId(JobNumber(1), 1), "a: device gpu0 is held by pid 7")


def test_code_that_cannot_be_sent_is_a_failed_setup() -> None:
    sealed = facts(lock="free", sealed={"reason": "the disk is full", "by": "sync"})
    (event,) = assess(attempt(A), End.ALL, {A: sealed}).events
    assert event == PrepareFailed(AttemptId(JobNumber(1), 1), stage="sync", detail="the disk is full")


def test_of_a_gang_of_which_one_node_could_not_be_sent_the_code_that_is_the_reason() -> None:
    known = {
        A: facts(lock="free", sealed={"reason": "another node of the attempt failed", "by": "controller"}),
        B: facts(lock="free", sealed={"reason": "the disk is full", "by": "sync"}),
    }
    (event,) = assess(attempt(A, B), End.ALL, known).events
    assert event == PrepareFailed(AttemptId(JobNumber(1), 1), stage="sync", detail="the disk is full")


def test_dead_is_gone_with_its_reason() -> None:
    dead = facts(lock="free", sealed={"reason": "x", "by": "link"}, processes={"0": process()}, boot="b2")
    events = assess(attempt(A, state=State.RUNNING), End.ALL, {A: dead}).events
    assert isinstance(events[-1], AttemptGone)
    assert events[-1].evidence == "a: reboot"


def test_a_gang_goes_when_all_are_ready() -> None:
    ready = facts(ready={"port": 1})
    assert assess(attempt(A, B), End.ALL, {A: ready}).orders == []
    told = assess(attempt(A, B), End.ALL, {A: ready, B: ready})
    assert [(o.verb, o.node) for o in told.orders] == [("go", A), ("go", B)]


def test_one_failed_node_stops_the_others_and_is_the_cause() -> None:
    failed = facts(lock="free", processes={"0": process(code=3)}, final=final(cause=0))
    live = facts(processes={"1": process(alive=True)})
    told = assess(attempt(A, B, state=State.RUNNING), End.ALL, {A: failed, B: live})
    assert [(o.verb, o.node, o.why) for o in told.orders] == [("stop", B, "failure")]
    stopped = facts(lock="free", processes={"1": process(signal=15)}, final=final(by_us=True, why="failure"))
    events = assess(attempt(A, B, state=State.RUNNING), End.ALL, {A: failed, B: stopped}).events
    assert isinstance(events[-1], AttemptExited)
    assert (events[-1].cause, events[-1].why, events[-1].by_us) == (0, Why.FAILURE, True)


def test_a_gang_that_cannot_start_everywhere_starts_nowhere() -> None:
    sealed = facts(lock="free", sealed={"reason": "device busy", "by": "shepherd"})
    told = assess(attempt(A, B), End.ALL, {A: sealed, B: facts(ready={})})
    assert [(o.verb, o.node) for o in told.orders] == [("stop", B)]
    assert told.events == []


def test_a_gang_of_which_no_program_ran_never_started() -> None:
    """Found by the simulator: one node's disk was full, the others were stopped at their gates; the job was lost."""
    sealed = facts(lock="free", sealed={"reason": "disk full", "by": "shepherd"})
    stopped = facts(lock="free", ready={}, final=final(by_us=True, why="failure"))
    assert assess(attempt(A, B), End.ALL, {A: stopped, B: sealed}).events == [
        NeverStarted(AttemptId(JobNumber(1), 1), "b: disk full")
    ]
    ran = facts(lock="free", processes={"0": process(code=0)}, final=final())
    assert isinstance(assess(attempt(A, B), End.ALL, {A: ran, B: sealed}).events[-1], AttemptGone)


def test_a_torn_gang_is_gone_even_when_a_stop_is_asked_for_while_it_is_cleared_away() -> None:
    """Found by the simulator: the program that was stopped for it ended well, and the job was told as failed."""
    torn = facts(lock="free", processes={"0": process(code=0)}, final=final(by_us=True, why="failure"))
    sealed = facts(lock="free", sealed={"reason": "the shepherd was killed before the program started", "by": "keeper"})
    stopped = attempt(A, B, state=State.STOPPING, why=Why.USER)
    (event,) = assess(stopped, End.FIRST, {A: torn, B: sealed}).events
    assert isinstance(event, AttemptGone)
    assert event.evidence == "b: the shepherd was killed before the program started"
    asked = facts(lock="free", processes={"0": process(code=0)}, final=final(by_us=True, why="user"))
    assert isinstance(assess(stopped, End.FIRST, {A: asked, B: sealed}).events[-1], AttemptExited)


def test_a_stop_seals_a_folder_that_nothing_is_known_of() -> None:
    """Found by the simulator: every answer to the launch was lost, and the stop waited for ever."""
    (order,) = assess(attempt(A, state=State.STOPPING, why=Why.USER), End.ALL, {}).orders
    assert order.verb == "seal"


def test_a_lost_watcher_is_sealed_before_it_is_judged() -> None:
    (order,) = assess(
        attempt(A, state=State.RUNNING), End.ALL, {A: facts(lock="free", processes={"0": process()})}
    ).orders
    assert order.verb == "seal"


def test_a_stop_is_ordered_where_something_lives() -> None:
    live = facts(processes={"0": process(alive=True)})
    told = assess(attempt(A, state=State.STOPPING, why=Why.USER), End.ALL, {A: live})
    assert [(o.verb, o.why) for o in told.orders] == [("stop", "user")]


def test_a_stop_whose_watchers_were_both_killed_before_the_last_word_is_a_stop() -> None:
    """Found by random kills: exit.json said "after our signal", final.json never came, and the job had "failed"."""
    ended = process(signal=15)
    ended["exit"]["after_signal"] = True
    note = {"why": "user", "by": "me", "cause": None}
    sealed = facts(lock="free", sealed={"reason": "", "by": ""}, processes={"0": ended}, stopping=note)
    told = assess(attempt(A, state=State.STOPPING, why=Why.USER), End.ALL, {A: sealed})
    exited = told.events[-1]
    assert isinstance(exited, AttemptExited)
    assert (exited.by_us, exited.why) == (True, Why.USER)
    ended["exit"]["after_signal"] = False
    assert not assess(attempt(A, state=State.STOPPING, why=Why.USER), End.ALL, {A: sealed}).events[-1].by_us


def test_the_first_end_decides_where_it_is_the_end_of_all() -> None:
    for stopped in (process(signal=15), process(code=0), process(code=7)):
        stopped["exit"]["after_signal"] = True
        ended = process(code=0)
        ended["exit"]["after_signal"] = False
        said = final(by_us=True, why="end_first")
        known = {A: facts(lock="free", processes={"0": stopped, "1": ended}, final=said)}
        told = assess(attempt(A, A), End.FIRST, known).events[-1]
        assert isinstance(told, AttemptExited)
        assert told.cause == 1
        assert by_exits(attempt(A, A), told) is Outcome.SUCCEEDED


def test_an_orphan_gets_a_watcher_again() -> None:
    orphan = facts(lock="free", processes={"0": process(alive=True)})
    assert [o.verb for o in assess(attempt(A), End.ALL, {A: orphan}).orders] == ["adopt"]
    stopping = attempt(A, state=State.STOPPING, why=Why.USER)
    assert [o.verb for o in assess(stopping, End.ALL, {A: orphan}).orders] == ["stop"]


def test_the_cause_is_the_failure_that_came_first_not_that_of_the_lower_rank() -> None:
    def failed(rank: str, at: float) -> dict[str, Any]:
        ended = process(code=1)
        ended["exit"]["at"] = at
        return facts(lock="free", processes={rank: ended}, final=final(cause=int(rank)))

    running = replace(attempt(A, B, state=State.RUNNING), started_at=1.0)
    (event,) = assess(running, End.ALL, {A: failed("0", 20.0), B: failed("1", 10.0)}).events
    assert isinstance(event, AttemptExited)
    assert event.cause == 1


def test_a_failed_preflight_names_the_worker_where_there_are_several() -> None:
    stage = {"started": None, "exit": {"code": 3, "signal": None}, "alive": False, "out": 0, "err": 0}
    broken = facts(lock="free", stages={"preflight": stage}, final=final(stage="preflight"))
    fine = facts(lock="free", sealed={"reason": "x", "by": "link"})
    (event,) = assess(attempt(A, B), End.ALL, {A: fine, B: broken}).events
    assert isinstance(event, PrepareFailed)
    assert event.detail == "exit code 3 on worker 1 (b)"


@pytest.mark.parametrize(
    ("stage", "state", "asked"),
    [
        ({"exit": None, "asks": {"id": "x", "lost": 0, "most": 5, "waits": True}}, State.PREPARING, ["way"]),
        ({"exit": None, "asks": {"id": "x", "lost": 0, "most": 5, "waits": False}}, State.PREPARING, []),
        ({"exit": None}, State.PREPARING, []),
        ({"exit": {"code": 1}}, State.PREPARING, []),
        ({"exit": None, "asks": {"id": "x", "lost": 0, "most": 5, "waits": True}}, State.STOPPING, ["stop"]),
    ],
    ids=["waits", "has-one", "needs-none", "ended", "stopping"],
)
def test_a_build_that_waits_for_a_way_is_given_one(stage: dict[str, Any], state: State, asked: list[str]) -> None:
    known = {A: facts(stages={"environment": stage | {"alive": True}}, processes={"0": process() | {"started": None}})}
    why = Why.USER if state is State.STOPPING else None
    told = assess(attempt(A, state=state, why=why), End.ALL, known)
    assert ([order.verb for order in told.orders], told.events) == (asked, [])


def test_a_removed_node_is_an_end_and_the_others_are_stopped_first() -> None:
    gang = attempt(A, B)
    running = facts(processes={"1": process(alive=True)})
    found = assess(gang, End.ALL, {A: REMOVED, B: running})
    assert (found.events, found.orders) == ([], [Order("stop", B, "failure")])
    over = facts(lock="free", processes={"1": process(signal=15)}, final={"by_us": True, "why": "failure"})
    (event,) = assess(gang, End.ALL, {A: REMOVED, B: over}).events
    assert isinstance(event, AttemptGone)
    assert event.evidence == "node a was removed"
