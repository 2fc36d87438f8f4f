"""The transition tables and the fold: (world, event) -> world.

The attempt's table is data: a state and what happened give the next state; what is not in it is illegal and raises with
the attempt's whole story. An ended attempt stays ended whatever comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from afield.errors import IllegalMove
from afield.model import event as ev
from afield.model.attempt import Attempt, Exited, Outcome, State, Why
from afield.model.ids import AttemptId
from afield.model.job import Job
from afield.model.node import Health, Node
from afield.model.world import World

S = State

TABLE: dict[tuple[State, str], State] = {
    (S.PLACED, "prepare_started"): S.PREPARING,
    (S.PLACED, "prepare_failed"): S.ENDED,
    (S.PLACED, "started"): S.RUNNING,
    (S.PLACED, "exited"): S.ENDED,
    (S.PLACED, "stop_ordered"): S.STOPPING,
    (S.PLACED, "never_started"): S.ENDED,
    (S.PLACED, "gone"): S.ENDED,
    (S.PREPARING, "prepare_started"): S.PREPARING,
    (S.PREPARING, "prepare_failed"): S.ENDED,
    (S.PREPARING, "started"): S.RUNNING,
    (S.PREPARING, "exited"): S.ENDED,
    (S.PREPARING, "stop_ordered"): S.STOPPING,
    (S.PREPARING, "never_started"): S.ENDED,
    (S.PREPARING, "gone"): S.ENDED,
    (S.RUNNING, "prepare_started"): S.RUNNING,
    (S.RUNNING, "started"): S.RUNNING,
    (S.RUNNING, "exited"): S.ENDED,
    (S.RUNNING, "stop_ordered"): S.STOPPING,
    (S.RUNNING, "never_started"): S.ENDED,
    (S.RUNNING, "gone"): S.ENDED,
    (S.STOPPING, "prepare_started"): S.STOPPING,
    (S.STOPPING, "prepare_failed"): S.ENDED,
    (S.STOPPING, "started"): S.STOPPING,
    (S.STOPPING, "exited"): S.ENDED,
    (S.STOPPING, "stop_ordered"): S.STOPPING,
    (S.STOPPING, "never_started"): S.ENDED,
    (S.STOPPING, "gone"): S.ENDED,
}
"""An observation may skip states (a short program is over before its start was seen), never go back.

A running attempt may turn out never to have started: its start was on the disk, the shepherd died before it opened the
gate, and the program left behind it without a step.
"""

BY_WHY = {
    Why.USER: Outcome.STOPPED,
    Why.TIME_LIMIT: Outcome.TIMED_OUT,
    Why.PREEMPTED: Outcome.PREEMPTED,
    Why.FAILURE: Outcome.FAILED,
    Why.END_FIRST: Outcome.SUCCEEDED,
}

_STORY_LIMIT = 40


def fold(world: World, record: ev.Record) -> World:
    """The world after one more event: changed in place and returned, while the nouns in it are replaced, not changed.

    Raises IllegalMove when the table does not allow the event.
    """
    event = record.event
    world.seq, world.now = record.seq, record.at
    _FOLDS[type(event)](world, event, record.at)
    return world


def move(attempt: Attempt, word: str, at: float) -> Attempt:
    """The attempt in the state that the table gives for what happened. Raises IllegalMove with the story."""
    after = TABLE.get((attempt.state, word))
    if after is None:
        story = " -> ".join((*attempt.story, word))
        what = f"attempt {attempt.id} is {attempt.state} and cannot take {word}"
        raise IllegalMove(what, why=f"its story: {story}")
    told = (*attempt.story, f"{word}@{at:.3f}")[-_STORY_LIMIT:]
    return replace(attempt, state=after, story=told)


def _end(attempt: Attempt, outcome: Outcome, at: float, **facts: Any) -> Attempt:
    return replace(attempt, outcome=outcome, ended_at=at, **facts)


def _submitted(world: World, e: ev.JobSubmitted, at: float) -> None:
    world.jobs[e.job] = Job(
        number=e.job,
        key=e.key,
        name=e.name,
        user=e.user,
        task=e.task,
        request=e.request,
        policy=e.policy,
        submitted_at=at,
        priority=e.priority,
        nodes=e.nodes,
    )


def _goal(world: World, e: ev.GoalSet, at: float) -> None:
    job = world.jobs.get(e.job)
    if job is not None and job.decided is None:
        world.jobs[e.job] = replace(job, goal=e.goal)


def _held(world: World, e: ev.JobHeld, at: float) -> None:
    job = world.jobs.get(e.job)
    if job is not None and job.decided is None:
        hold = "" if e.until is not None else e.reason
        world.jobs[e.job] = replace(job, hold=hold, not_before=e.until or 0.0)


def _released(world: World, e: ev.JobReleased, at: float) -> None:
    job = world.jobs.get(e.job)
    if job is not None and job.decided is None:
        ended = sum(not a.live for a in job.attempts)
        world.jobs[e.job] = replace(job, hold="", not_before=0.0, forgiven=ended)


def _decided(world: World, e: ev.JobDecided, at: float) -> None:
    job = world.jobs.get(e.job)
    if job is None or job.decided is not None:
        return
    if job.live is not None:
        raise IllegalMove(f"job {e.job} cannot end {e.outcome}: attempt {job.live.id} is {job.live.state}")
    world.jobs[e.job] = replace(job, decided=e.outcome, ended_at=at)


def _placed(world: World, e: ev.AttemptPlaced, at: float) -> None:
    job = world.jobs.get(e.attempt.job)
    if job is None:
        raise IllegalMove(f"attempt {e.attempt} cannot be placed: its job is not known")
    if job.live is not None or job.decided is not None or e.attempt.number != len(job.attempts) + 1:
        raise IllegalMove(f"attempt {e.attempt} cannot be placed: job {job.number} has {len(job.attempts)} attempts")
    attempt = Attempt(id=e.attempt, nonce=e.nonce, placements=e.placements, placed_at=at, story=(f"placed@{at:.3f}",))
    world.jobs[job.number] = replace(job, attempts=(*job.attempts, attempt), not_before=0.0)


def _on_attempt(world: World, name: AttemptId, change: Callable[[Attempt], Attempt]) -> None:
    job = world.jobs.get(name.job)
    if job is None or not 1 <= name.number <= len(job.attempts):
        raise IllegalMove(f"attempt {name} is not known")
    old = job.attempts[name.number - 1]
    if old.state is State.ENDED:
        return
    attempts = list(job.attempts)
    attempts[name.number - 1] = change(old)
    world.jobs[name.job] = replace(job, attempts=tuple(attempts))


def _prepare_started(world: World, e: ev.PrepareStarted, at: float) -> None:
    _on_attempt(world, e.attempt, lambda a: move(a, "prepare_started", at))


def _prepare_failed(world: World, e: ev.PrepareFailed, at: float) -> None:
    def change(a: Attempt) -> Attempt:
        outcome = _by_order(a, e.exits, Outcome.SETUP_FAILED)
        detail = f"{e.stage}: {e.detail}" if e.stage else e.detail
        return _end(move(a, "prepare_failed", at), outcome, at, detail=detail, exits=e.exits)

    _on_attempt(world, e.attempt, change)


def _started(world: World, e: ev.AttemptStarted, at: float) -> None:
    def change(a: Attempt) -> Attempt:
        return replace(move(a, "started", at), started_at=at if a.started_at is None else a.started_at)

    _on_attempt(world, e.attempt, change)


def _stop_ordered(world: World, e: ev.StopOrdered, at: float) -> None:
    _on_attempt(world, e.attempt, lambda a: replace(move(a, "stop_ordered", at), why=a.why or e.why))


def by_exits(attempt: Attempt, e: ev.AttemptExited) -> Outcome:
    """The outcome of an attempt whose processes have all ended.

    Ended by us: by why (an exit after our signal takes its outcome from the order, not from the code: a well-behaved
    program saves its work and exits 0 when told to leave). Ended by themselves: by exit codes; where an exit is missing
    that is no success.
    """
    why = e.why or attempt.why
    if e.by_us and why is not None and why is not Why.END_FIRST:
        return BY_WHY[why]
    deciding = {p.rank for p in attempt.placements}
    if why is Why.END_FIRST and e.cause is not None:
        deciding = {e.cause}
    status = {x.rank: x.status for x in e.exits if x.rank in deciding}
    if any(status.values()):
        return Outcome.FAILED
    if status.keys() >= deciding:
        return Outcome.SUCCEEDED
    return _by_order(attempt, e.exits, Outcome.LOST)


def _exited(world: World, e: ev.AttemptExited, at: float) -> None:
    def change(a: Attempt) -> Attempt:
        outcome = by_exits(a, e)
        cause = e.cause
        if cause is None and outcome is Outcome.FAILED:
            cause = next((x.rank for x in e.exits if x.status), None)
        facts: dict[str, Any] = {"exits": e.exits, "cause": cause, "survivors": e.survivors, "why": e.why or a.why}
        if outcome is Outcome.LOST:
            facts["detail"] = "a process ended and left no exit status"
        return _end(move(a, "exited", at), outcome, at, **facts)

    _on_attempt(world, e.attempt, change)


def _by_order(attempt: Attempt, exits: Sequence[Exited], otherwise: Outcome) -> Outcome:
    """The outcome of an attempt that ended without all its exits: by the order to stop, if there was one.

    "The first process ended" is an order that only a seen exit makes true.
    """
    if attempt.why is None:
        return otherwise
    if attempt.why is Why.END_FIRST and not any(x.status == 0 for x in exits):
        return Outcome.FAILED if exits else otherwise
    return BY_WHY[attempt.why]


def _never_started(world: World, e: ev.NeverStarted, at: float) -> None:
    def change(a: Attempt) -> Attempt:
        outcome = _by_order(a, (), Outcome.NEVER_STARTED)
        return _end(move(a, "never_started", at), outcome, at, detail=e.evidence, started_at=None)

    _on_attempt(world, e.attempt, change)


def _gone(world: World, e: ev.AttemptGone, at: float) -> None:
    def change(a: Attempt) -> Attempt:
        outcome = _by_order(a, e.exits, Outcome.PREEMPTED if e.preempted else Outcome.LOST)
        return _end(move(a, "gone", at), outcome, at, detail=e.evidence, exits=e.exits)

    _on_attempt(world, e.attempt, change)


def _acked(world: World, e: ev.AttemptAcked, at: float) -> None:
    job = world.jobs.get(e.attempt.job)
    if job is None:
        return
    if job.live is not None and job.live.id == e.attempt:
        raise IllegalMove(f"attempt {e.attempt} is {job.live.state}: there is no end to acknowledge")
    attempts = tuple(replace(a, acked=True) if a.id == e.attempt else a for a in job.attempts)
    world.jobs[job.number] = replace(job, attempts=attempts)


def _node_added(world: World, e: ev.NodeAdded, at: float) -> None:
    world.nodes[e.node] = Node(
        name=e.node,
        backend=e.backend,
        target=e.target,
        address=e.address,
        slice=e.slice,
        preemptible=e.preemptible,
    )


def _node_set(world: World, e: ev.NodeSet, at: float) -> None:
    node = world.nodes.get(e.node)
    if node is None:
        raise IllegalMove(f"node {e.node} cannot be set: it is not known")
    world.nodes[e.node] = replace(
        node,
        declared=node.declared if e.declared is None else e.declared,
        address=node.address if e.address is None else e.address,
        drained=node.drained if e.drained is None else e.drained,
    )


def _node_observed(world: World, e: ev.NodeObserved, at: float) -> None:
    node = world.nodes.get(e.node)
    if node is None:
        return
    heard = e.health is Health.READY
    silent = None if heard else (at if node.silent_since is None else node.silent_since)
    node = replace(node, health=e.health, detail=e.detail, hints=e.hints, silent_since=silent)
    if heard:
        if e.machine_id and node.machine_id and e.machine_id != node.machine_id:
            node = replace(node, generation=node.generation + 1)
        node = replace(node, seen_at=at, boot_id=e.boot_id or node.boot_id, machine_id=e.machine_id or node.machine_id)
    if e.capacity is not None:
        node = replace(node, capacity=e.capacity)
    if e.facts:
        node = replace(node, facts=e.facts)
    world.nodes[e.node] = node


def _node_removed(world: World, e: ev.NodeRemoved, at: float) -> None:
    world.nodes.pop(e.node, None)


_FOLDS: dict[type, Callable[[World, Any, float], None]] = {
    ev.JobSubmitted: _submitted,
    ev.GoalSet: _goal,
    ev.JobHeld: _held,
    ev.JobReleased: _released,
    ev.JobDecided: _decided,
    ev.AttemptPlaced: _placed,
    ev.PrepareStarted: _prepare_started,
    ev.PrepareFailed: _prepare_failed,
    ev.AttemptStarted: _started,
    ev.StopOrdered: _stop_ordered,
    ev.AttemptExited: _exited,
    ev.NeverStarted: _never_started,
    ev.AttemptGone: _gone,
    ev.AttemptAcked: _acked,
    ev.NodeAdded: _node_added,
    ev.NodeSet: _node_set,
    ev.NodeObserved: _node_observed,
    ev.NodeRemoved: _node_removed,
}


def forget(world: World, job: Job) -> None:
    """Drop a finished job from memory; the store keeps it."""
    if job.decided is not None and all(a.acked for a in job.attempts):
        world.jobs.pop(job.number, None)
