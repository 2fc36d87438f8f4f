"""What people and scripts see of jobs and nodes: plain dictionaries; fields are only ever added."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from afield.errors import NotFound
from afield.model.attempt import Attempt, Outcome
from afield.model.job import Job
from afield.model.node import Health, Node
from afield.model.request import format as format_request
from afield.model.world import World
from afield.plan.explain import explain
from afield.plan.place import node_devices

View = dict[str, Any]


def iso(at: float | None) -> str | None:
    """A moment as ISO 8601 in UTC, or None."""
    return (
        None
        if at is None
        else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


SNAPSHOT = ("workspace", "tree", "root", "folder", "base_commit")


def job_view(job: Job, world: World, now: float, reason: Callable[[Job], str] | None = None) -> View:
    """A job as JSON. `reason` says why a queued one waits; left out, it is explained for this one alone."""
    last = job.last
    attempt = job.live or last
    code = job.task.code
    started = [a.started_at for a in job.attempts if a.started_at is not None]
    return {
        "number": job.number,
        "name": job.name,
        "user": job.user,
        "phase": str(job.phase),
        "reason": _reason(job, reason or (lambda waiting: explain(waiting, world, now).reason)),
        "goal": str(job.goal),
        "policy": str(job.policy),
        "priority": job.priority,
        "command": list(job.task.argv),
        "request": format_request(job.request),
        "processes": job.request.processes,
        "nodes": [str(n) for n in attempt.nodes] if attempt else [],
        "devices": _devices(attempt),
        "submitted_at": iso(job.submitted_at),
        "started_at": iso(started[-1] if started else None),
        "ended_at": iso(job.ended_at),
        "exit_status": last.exit_status if last is not None and job.decided is not None else None,
        "outcome": None if job.decided is None else str(job.decided),
        "snapshot": None if code is None else {field: getattr(code, field) for field in SNAPSHOT},
        "environment": str(job.task.environment.kind),
        "secrets": list(job.task.secrets),
        "packages": list(job.task.environment.packages),
        "continues": job.task.continues or None,
        "attempts": [attempt_view(a) for a in job.attempts],
        "silent": _silent(job, world, now),
    }


def attempt_view(attempt: Attempt) -> View:
    """One attempt as JSON."""
    return {
        "number": attempt.id.number,
        "state": str(attempt.state),
        "outcome": None if attempt.outcome is None else str(attempt.outcome),
        "why": None if attempt.why is None else str(attempt.why),
        "nodes": [str(n) for n in attempt.nodes],
        "placed_at": iso(attempt.placed_at),
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "exits": [
            {"rank": e.rank, "code": e.code, "signal": e.signal, "status": e.status, "how": e.how}
            for e in attempt.exits
        ],
        "cause": attempt.cause,
        "detail": attempt.detail,
        "survivors": list(attempt.survivors),
        "processes": [
            {
                "rank": p.rank,
                "node": str(p.node),
                "worker": attempt.nodes.index(p.node),
                "group": p.group,
                "index": p.index,
            }
            for p in attempt.placements
        ],
    }


def _devices(attempt: Attempt | None) -> dict[str, list[str]]:
    devices: dict[str, list[str]] = {}
    for placement in attempt.placements if attempt else ():
        if placement.devices:
            devices.setdefault(str(placement.node), []).extend(placement.devices)
    return devices


def _silent(job: Job, world: World, now: float) -> dict[str, float]:
    silent = {}
    for name in job.live.nodes if job.live else ():
        node = world.nodes.get(name)
        if node is not None and node.silent_since is not None:
            silent[str(name)] = round(now - node.silent_since, 1)
    return silent


def why_silent(node: Node) -> list[str]:
    """Why a node does not answer and what may help, as lines; none while that is not known yet."""
    return [node.detail, *[f"try: {hint}" for hint in node.hints[:1]]] if node.detail else []


def _reason(job: Job, waits: Callable[[Job], str]) -> str:
    if job.decided is None:
        return waits(job) if job.waiting else ""
    last = job.last
    if last is None:
        return job.hold
    if job.decided is Outcome.FAILED:
        return _failure(last)
    return last.detail


def _failure(attempt: Attempt) -> str:
    exits = {e.rank: e for e in attempt.exits}
    exited = exits.get(attempt.cause) if attempt.cause is not None else None
    if exited is None:
        return attempt.detail
    if len(attempt.placements) < 2:
        return exited.how
    where = next((f" on {p.node}" for p in attempt.placements if p.rank == exited.rank and len(attempt.nodes) > 1), "")
    return f"process {exited.rank}{where}: {exited.how}"


def node_view(node: Node, world: World) -> View:
    """A node as JSON."""
    holders = {d: a.id.job for a in world.live() for p in a.placements if p.node == node.name for d in p.devices}
    jobs = sorted({int(a.id.job) for a in world.live() if node.name in a.nodes})
    return {
        "name": str(node.name),
        "backend": node.backend,
        "target": node.target,
        "address": node.address,
        "slice": node.slice,
        "health": _health(node, busy=bool(jobs)),
        "detail": node.detail,
        "hints": list(node.hints),
        "cpu": node.capacity.cpu,
        "memory_bytes": node.capacity.memory_bytes,
        "disk_bytes": node.capacity.disk_bytes,
        "devices": [
            {
                "id": d.id,
                "model": d.model,
                "index": d.index,
                "memory_bytes": d.memory_bytes,
                "taken_bytes": d.taken_bytes,
                "used_bytes": None,
                "busy": d.busy,
                "job": holders.get(d.id),
            }
            for d in node_devices(node)
        ],
        "declared": ",".join(f"{count}:{model}" for model, count in node.declared),
        "jobs": jobs,
        "facts": dict(node.facts),
        "seen_at": iso(node.seen_at),
        "asked_at": None,
        "silent_since": iso(node.silent_since),
        "drained": node.drained,
    }


def with_facts(view: View, facts: Mapping[str, Any], asked_at: float) -> View:
    """A node's view with what only its last probe says: how much memory of each device is in use, and when that was."""
    used = {str(d["id"]): int(d["used_bytes"] or 0) for d in facts.get("devices", ())}
    devices = [{**d, "used_bytes": used.get(d["id"])} for d in view["devices"]]
    return {**view, "devices": devices, "asked_at": iso(asked_at or None)}


def _health(node: Node, *, busy: bool) -> str:
    """A node that takes no jobs is drained once it has none; one that cannot be reached is that first of all."""
    if not node.drained or node.health is not Health.READY:
        return str(node.health)
    return "draining" if busy else "drained"


def unknown_node(name: str, known: list[str], otherwise: str = "afield node ls") -> NotFound:
    """The error for a node that does not exist, with the nearest name, or what to do without one."""
    near = difflib.get_close_matches(name, known, n=1)
    return NotFound(
        f"there is no node {name}",
        why=f"known: {', '.join(sorted(known))}",
        hints=[f"did you mean {near[0]}?"] if near else [otherwise],
    )
