"""From what run folders say to what is true of an attempt: events to record and orders to send. Pure.

Everything is derived from the folders each time, so a lost order is given again and a repeated one does no harm.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Any

from afield.model.attempt import Attempt, Exited, State, Why
from afield.model.event import (
    AttemptExited,
    AttemptGone,
    AttemptStarted,
    Event,
    JobDecided,
    NeverStarted,
    PrepareFailed,
    Record,
)
from afield.model.ids import NodeName
from afield.model.job import Job
from afield.model.machine import fold
from afield.model.task import End
from afield.model.world import World
from afield.plan.retry import Over, judge
from afield.runner import verdict

Facts = Mapping[str, Any]

REMOVED: dict[str, Any] = {
    "final": None,
    "lock": "free",
    "sealed": {"reason": "it was removed", "by": "controller"},
    "boot": "",
    "processes": {"": {"started": {"boot": ""}, "exit": None, "alive": False}},
    "stages": {},
}
"""What stands for a folder on a node that was removed: nobody will ever tell how it ended."""

SETTLED = frozenset(verdict.CLOSED)

SYNC = "sync"
"""Who sealed a folder when code or tools could not be brought to the node, and the stage that failed then."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to ask of a node: launch, adopt, seal, stop, go, or way (to a package index, for a build)."""

    verb: str
    node: NodeName
    why: str = ""


@dataclass(slots=True)
class Assessment:
    """What to record and what to order, given what is known now."""

    events: list[Event] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


def with_removed(
    attempt: Attempt, known: Mapping[NodeName, Facts], nodes: Container[NodeName]
) -> dict[NodeName, Facts]:
    """What is known of an attempt, with REMOVED for those of its nodes that are no more and had told no end."""
    found = dict(known)
    for node in attempt.nodes:
        if node not in nodes and (node not in known or verdict.verdict(dict(known[node])) not in SETTLED):
            found[node] = REMOVED
    return found


def assess(attempt: Attempt, end: End, known: Mapping[NodeName, Facts]) -> Assessment:
    """What follows from the facts of an attempt's nodes; nodes not in `known` have not answered yet."""
    result = Assessment()
    words = {node: verdict.verdict(dict(known[node])) if node in known else "unknown" for node in attempt.nodes}
    _order_each(attempt, words, result)
    if attempt.state is not State.STOPPING:
        result.orders += [Order("way", node) for node, facts in known.items() if verdict.waits_for_way(dict(facts))]
    if len(attempt.nodes) > 1:
        _order_gang(attempt, end, words, known, result)
    if set(words.values()) <= SETTLED:
        if attempt.started_at is None and _all_started(attempt, known) and "setup_failed" not in words.values():
            result.events.append(AttemptStarted(attempt.id))
        result.events.append(_ending(attempt, words, known))
    elif attempt.started_at is None and _all_started(attempt, known):
        result.events.append(AttemptStarted(attempt.id))
    return result


def _order_each(attempt: Attempt, words: Mapping[NodeName, str], result: Assessment) -> None:
    stopping = attempt.state is State.STOPPING
    for node, word in words.items():
        if word == "needs_seal":
            result.orders.append(Order("seal", node, "no shepherd and no process is left"))
        elif word == "unknown" and stopping:
            # Its launch may never have been answered, and is not asked again: a seal tells how it is there.
            result.orders.append(Order("seal", node, "stopped before it was launched"))
        elif word == "absent":
            order = Order("seal", node, "stopped before it was launched") if stopping else Order("launch", node)
            result.orders.append(order)
        elif stopping and word not in SETTLED and word not in ("unknown", "ending"):
            result.orders.append(Order("stop", node, str(attempt.why or Why.USER)))
        elif word == "orphan":
            # Both watchers were killed, and a new keeper comes only when somebody asks for one.
            result.orders.append(Order("adopt", node))


def _order_gang(
    attempt: Attempt, end: End, words: Mapping[NodeName, str], known: Mapping[NodeName, Facts], result: Assessment
) -> None:
    if attempt.state is State.STOPPING:
        return
    why = _broken(end, words, known)
    if why:
        waiting = [n for n, w in words.items() if w not in SETTLED and w not in ("unknown", "absent", "needs_seal")]
        result.orders += [Order("stop", n, why) for n in waiting]
        absent = [o for o in result.orders if o.verb == "launch"]
        result.orders = [o for o in result.orders if o.verb != "launch"]
        result.orders += [Order("seal", o.node, "another node of the attempt failed") for o in absent]
    elif "ready" in words.values() and set(words.values()) <= {"ready", "live", "ending", "ended"}:
        result.orders += [Order("go", n) for n, w in words.items() if w == "ready"]


def _broken(end: End, words: Mapping[NodeName, str], known: Mapping[NodeName, Facts]) -> str:
    for node, word in words.items():
        if word in ("setup_failed", "never_started", "dead"):
            return str(Why.FAILURE)
        if word == "ended":
            if end is End.FIRST:
                return str(Why.END_FIRST)
            if any(e.status for e in exits(known[node])):
                return str(Why.FAILURE)
    return ""


def _all_started(attempt: Attempt, known: Mapping[NodeName, Facts]) -> bool:
    for placement in attempt.placements:
        processes = known.get(placement.node, {}).get("processes", {})
        if not processes.get(str(placement.rank), {}).get("started"):
            return False
    return True


def exits(facts: Facts) -> list[Exited]:
    """How the processes in one folder ended, as far as that is recorded."""
    return [Exited(e["rank"], e["code"], e["signal"], evidence(e)) for e in verdict.exits(dict(facts))]


def evidence(ended: Facts) -> str:
    """What is known of a SIGKILL that was not ours: never a guess told as a fact."""
    if ended.get("signal") != SIGKILL or "oom" not in ended:
        return ""
    kills = ended["oom"]
    if kills is None:
        return "afield did not send it; memory may have run out"
    if not kills["count"]:
        return "afield did not send it, and the kernel counts no kill for want of memory"
    where = "in its control group" if kills["of"] == "group" else "on its node"
    times = "once" if kills["count"] == 1 else f"{kills['count']} times"
    return f"the kernel killed {times} for want of memory {where} while it ran"


def _ending(attempt: Attempt, words: Mapping[NodeName, str], known: Mapping[NodeName, Facts]) -> Event:
    found = tuple(sorted((e for node in words for e in exits(known[node])), key=lambda e: e.rank))
    finals = [known[node].get("final") or _unfinished(known[node]) for node in words]
    kinds = set(words.values())
    if "setup_failed" in kinds:
        # Also where others never began: they were sealed for it, and it would fail again.
        return _setup_failed(attempt, words, known)
    if "never_started" in kinds and not any(verdict.began(dict(known[node])) for node in words):
        refused = [told for node in words if (told := _refused(known[node]))]
        if refused and attempt.started_at is None:
            return PrepareFailed(attempt.id, stage=SYNC, detail=refused[0])
        return NeverStarted(attempt.id, _first(known, words, "never_started"))
    why = _why(finals)
    torn = "never_started" in kinds and (attempt.why is None or why is Why.FAILURE)
    if "dead" in kinds or torn:
        word = "dead" if "dead" in kinds else "never_started"
        return AttemptGone(attempt.id, preempted=False, evidence=_first(known, words, word), exits=found)
    causes = _in_time([f["cause"] for f in finals if f.get("cause") is not None], known)
    if not causes and why is Why.END_FIRST:
        causes = _by_themselves(known[node] for node in words)
    return AttemptExited(
        attempt.id,
        exits=found,
        by_us=any(f.get("by_us") for f in finals),
        why=why,
        cause=causes[0] if causes else None,
        survivors=tuple(s for f in finals for s in f.get("survivors") or ()),
    )


def _refused(facts: Facts) -> str:
    """Why code or tools could not be brought there, when that is the end of it: nothing was ever started."""
    seal = facts["sealed"] or {}
    started = any(p["started"] for p in facts["processes"].values())
    return str(seal["reason"]) if seal.get("by") == SYNC and not started else ""


def _unfinished(facts: Facts) -> Facts:
    """What final.json would say of a stop, where both watchers were killed between the exits and it."""
    note = facts.get("stopping")
    signalled = any((p.get("exit") or {}).get("after_signal") for p in facts.get("processes", {}).values())
    return {"by_us": True, "why": note.get("why"), "cause": note.get("cause")} if note and signalled else {}


def _in_time(ranks: list[int], known: Mapping[NodeName, Facts]) -> list[int]:
    """Processes that failed by themselves, the first one first, by the clocks of their nodes."""
    ended = {int(rank): p.get("exit") for facts in known.values() for rank, p in facts.get("processes", {}).items()}
    return sorted(ranks, key=lambda rank: ((ended.get(rank) or {}).get("at", 0.0), rank))


def _by_themselves(folders: Iterable[Facts]) -> list[int]:
    """The ranks that no signal of ours ended."""
    ends = [(int(rank), p.get("exit")) for facts in folders for rank, p in facts.get("processes", {}).items()]
    return sorted(rank for rank, leave in ends if leave and leave.get("code") is not None and not leave["after_signal"])


def _why(finals: list[Facts]) -> Why | None:
    said = [Why(f["why"]) for f in finals if f.get("why") in set(Why)]
    return Why.TIME_LIMIT if Why.TIME_LIMIT in said else (said[0] if said else None)


def _first(known: Mapping[NodeName, Facts], words: Mapping[NodeName, str], word: str) -> str:
    node = next(n for n, w in words.items() if w == word)
    if known[node] is REMOVED:
        return f"node {node} was removed"
    return f"{node}: {verdict.reason(dict(known[node])) or word}"


def _setup_failed(attempt: Attempt, words: Mapping[NodeName, str], known: Mapping[NodeName, Facts]) -> PrepareFailed:
    node = next(n for n, w in words.items() if w == "setup_failed")
    stage = (known[node].get("final") or {}).get("stage") or "setup"
    ended = (known[node].get("stages", {}).get(stage) or {}).get("exit") or {}
    how = Exited(rank=0, code=ended.get("code"), signal=ended.get("signal"), evidence=evidence(ended)).how
    where = f"worker {attempt.nodes.index(node)} ({node})" if len(attempt.nodes) > 1 else str(node)
    return PrepareFailed(attempt.id, stage=stage, detail=f"{how} on {where}")


def concluded(job: Job, events: list[Event]) -> list[Event]:
    """The events, and the job's decision behind them when they are its end: one transaction, no state in between."""
    if not events:
        return events
    world = World(jobs={job.number: job})
    for event in events:
        fold(world, Record(0, 0.0, event))
    after = world.jobs[job.number]
    follows = judge(after) if after.live is None else None
    return [*events, JobDecided(job.number, follows.outcome)] if isinstance(follows, Over) else events
