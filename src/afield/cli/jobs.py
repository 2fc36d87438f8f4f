"""Jobs as rows and answers as lines: the same words in `ps`, `status`, `why` and `top`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from afield.cli import show
from afield.cli.grid import Column

COLUMNS = (
    Column("JOB", right=True),
    Column("NAME", rank=1, least=8),
    Column("STATE", least=36),
    Column("WHERE", rank=2, least=8),
    Column("DEVICES", rank=6, right=True),
    Column("TIME", rank=3, right=True),
    Column("PROGRESS", rank=4, right=True, seldom=True),
    Column("USER", rank=7, least=4),
    Column("COMMAND", rank=5, least=24),
)


def of_now(client: Any, found: list[dict[str, Any]], limit: int, now: float | None = None) -> list[dict[str, Any]]:
    """Of the newest jobs those of today; with a limit also unfinished ones that are older than these."""
    recent = (now or time.time()) - 86400
    jobs = [j for j in found if j["ended_at"] is None or (show.moment(j["ended_at"]) or 0) > recent]
    known = {j["number"] for j in jobs}
    older = [j for j in client.jobs(all=False, limit=limit) if j["number"] not in known] if limit else []
    return sorted([*jobs, *older], key=lambda j: -int(j["number"]))


def summary(nodes: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]) -> str:
    """The whole fleet in one line."""
    devices = [device for node in nodes for device in node["devices"]]
    phases = [str(job["phase"]) for job in jobs]
    parts = [f"{len(nodes)} node" + "s" * (len(nodes) != 1)]
    if devices:
        parts.append(f"{sum(map(is_free, devices))} of {len(devices)} devices free")
    for health, word in (("unreachable", "unreachable"), ("needs_login", "to log in to")):
        count = sum(node["health"] == health for node in nodes)
        parts += [f"{count} {word}"] if count else []
    counts = {word: phases.count(word) for word in ("running", "queued", "starting", "stopping")}
    parts += [f"{count} {word}" for word, count in counts.items() if count]
    return " · ".join(parts)


def is_free(device: Mapping[str, Any]) -> bool:
    """Whether neither a job of ours nor a stranger uses it."""
    return device["job"] is None and not device["busy"]


def row(job: dict[str, Any], now: float | None = None) -> list[str]:
    """A job as a row of COLUMNS."""
    devices = sum(len(d) for d in job["devices"].values())
    command = " ".join(job["command"])
    return [
        str(job["number"]),
        job["name"] or "-",
        state(job),
        ",".join(job["nodes"]) or "-",
        str(devices or "-"),
        took(job, now),
        progress(job) or "-",
        job["user"] or "-",
        command,
    ]


def state(job: dict[str, Any]) -> str:
    """The phase with what triage needs: the reason of a waiting job, the exit of a failed one, a silent node."""
    phase = str(job["phase"])
    if job["silent"]:
        node, seconds = next(iter(job["silent"].items()))
        return f"{phase} ({node} silent {show.duration(seconds)})"
    reason = job["reason"].splitlines()[0].removeprefix("waits ") if job["reason"] else ""
    return f"{phase} ({reason})" if reason else phase


def took(job: dict[str, Any], now: float | None = None) -> str:
    """How long it has run by now, or ran."""
    started = show.moment(job["started_at"])
    if started is None:
        return "-"
    ended = show.moment(job["ended_at"]) or now or time.time()
    return show.duration(max(0.0, ended - started))


def progress(job: Mapping[str, Any]) -> str:
    """How far a job that runs says that it is; "" for one that says nothing."""
    said = job.get("progress")
    if not said:
        return ""
    return f"{said['done'] / said['total']:.0%}" if said["total"] else f"{said['done']:,g}"


def answer(told: Mapping[str, Any]) -> list[str]:
    """What the API says of a job's place, as lines for people."""
    view = told["view"]
    if view["outcome"]:
        from afield.cli.follow import end_line, quoted  # a list of jobs needs nothing of it

        return [end_line(view), *quoted(view)]
    reason = told["reason"] if told["reason"] != view["phase"] else ""
    lines = [f"job {told['job']} is {view['phase']}" + (f": {show.safe(reason)}" if reason else "")]
    lines += [f"  {show.safe(line)}" for line in told["lines"] if line != reason]
    return lines + [f"  would start it: {show.safe(change)}" for change in told.get("would_start", ())]
