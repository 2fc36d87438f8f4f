"""The launch request of one attempt on one node, with every variable of every process. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from afield.model.attempt import Attempt, Outcome, Placement
from afield.model.ids import NodeName
from afield.model.job import Job
from afield.model.node import Node
from afield.model.policy import Next, after
from afield.model.task import EnvironmentKind

GATE_S = 600.0
"""How long one node's part of a gang waits for the others: some launches long whose answers never come."""

BUSY_GATE_S = 25 * 3600.0
"""The same where one may still be sent files, builds an environment, which waits a day for its way, or has a stage."""


def peer_address(node: Node, *, alone: bool = False) -> str:
    """What the other processes of a job call a node; `alone` says that they are all on it."""
    if node.address:
        return node.address
    if node.backend == "local":
        return "127.0.0.1" if alone else dict(node.facts).get("host", "127.0.0.1")
    return node.target.rpartition("@")[2] or str(node.name)


def spec(store: str, job: Job, attempt: Attempt, node: NodeName, nodes: Mapping[NodeName, Node]) -> dict[str, Any]:
    """The body of `launch` for one node; shapes and words are the runner's."""
    task = job.task
    shared = _shared_variables(job, attempt, nodes)
    code = task.code
    environment = task.environment
    return {
        "store": store,
        "job": int(job.number),
        "attempt": attempt.id.number,
        "node": str(node),
        "nonce": str(attempt.nonce),
        "user": job.user,
        "code": None if code is None else {"workspace": code.workspace, "tree": code.tree, "cwd": code.folder},
        "environment": {
            "kind": str(environment.kind),
            "key": environment.key,
            "python": environment.python,
            "files": list(environment.files),
            "packages": list(environment.packages),
            "folder": "" if code is None else code.folder,
        },
        "stages": _stages(job, {**shared, **worker_variables(attempt, node, nodes)}),
        "processes": [
            _process(job, attempt, placement, {**shared, **worker_variables(attempt, node, nodes)})
            for placement in attempt.placements
            if placement.node == node
        ],
        "merge": task.merge,
        "end": str(task.end),
        "time_limit_s": job.request.time_limit_s,
        "grace_s": task.grace_s,
        "gang": len(attempt.nodes) > 1,
        "gate_s": BUSY_GATE_S if code or environment.key or task.setup or task.preflight else GATE_S,
    }


def worker_variables(attempt: Attempt, name: NodeName, nodes: Mapping[NodeName, Node]) -> dict[str, str]:
    """What tells a program which worker it is on; the last two are the words of an older tool."""
    worker = str(attempt.nodes.index(name))
    node = nodes.get(name)
    whole = node.slice if node is not None and node.slice else str(name)
    return {"AFIELD_NODE": str(name), "AFIELD_WORKER": worker, "TP_ASIC_NAME": whole, "TP_ASIC_WORKER": worker}


def _stages(job: Job, shared: Mapping[str, str]) -> list[dict[str, Any]]:
    """What runs before the programs, with the job's variables and those of all processes here; it is none of these."""
    variables = {**dict(job.task.variables), **shared}
    del variables["WORLD_SIZE"]
    stages = []
    for name, argv in (("setup", job.task.setup), ("preflight", job.task.preflight)):
        if argv:
            key = ""
            if name == "setup":
                key = _setup_key(job)
            stages.append({"name": name, "argv": list(argv), "key": key, "variables": variables})
    return stages


def _setup_key(job: Job) -> str:
    """What a setup depends on: its words, the files that they name, the place they run in, the environment."""
    task = job.task
    place = (task.code.workspace, task.code.folder) if task.code is not None else ("", "")
    parts = (*task.setup, "", task.setup_content, task.environment.key, *place)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _process(job: Job, attempt: Attempt, placement: Placement, shared: Mapping[str, str]) -> dict[str, Any]:
    on_node = [p for p in attempt.placements if p.node == placement.node]
    argv = list(job.task.argv)
    python = argv[0].endswith(".py") and job.task.environment.kind is not EnvironmentKind.NONE
    variables = {
        **dict(job.task.variables),
        **shared,
        "GROUP_INDEX": str(placement.group),
        "PROCESS_INDEX": str(placement.index),
        "RANK": str(placement.rank),
        "LOCAL_RANK": str([p.rank for p in on_node].index(placement.rank)),
    }
    return {
        "rank": placement.rank,
        "argv": argv,
        "variables": variables,
        "devices": list(placement.devices),
        "python": python,
    }


def _shared_variables(job: Job, attempt: Attempt, nodes: Mapping[NodeName, Node]) -> dict[str, str]:
    groups: dict[int, int] = {}
    shared: dict[str, str] = {}
    alone = len(attempt.nodes) == 1
    for p in attempt.placements:
        groups[p.group] = groups.get(p.group, 0) + 1
        node = nodes.get(p.node)
        shared[f"HOST_GROUP{p.group}_PROCESS{p.index}"] = peer_address(node, alone=alone) if node else str(p.node)
    for group, count in groups.items():
        shared[f"NUM_PROCESSES_GROUP{group}"] = str(count)
    shared["NUM_GROUPS"] = str(len(groups))
    shared["JOB_NUMBER"] = shared["AFIELD_JOB"] = str(job.number)
    shared["AFIELD_ATTEMPT"] = str(attempt.id.number)
    shared["AFIELD_WORKERS"] = str(len(attempt.nodes))
    shared["AFIELD_RESUME"] = "1" if resumes(job, attempt) else "0"
    if job.task.continues:
        shared["CONTINUE_JOB_NUMBER"] = str(job.task.continues)
    shared["WORLD_SIZE"] = str(len(attempt.placements))
    return shared


def resumes(job: Job, attempt: Attempt) -> bool:
    """Whether an attempt goes on where the one before it was, rather than starting over."""
    ran = [a.outcome for a in job.attempts[: attempt.id.number - 1] if a.outcome is not Outcome.NEVER_STARTED]
    return bool(ran) and ran[-1] is not None and after(job.policy, ran[-1]) in (Next.RESUME, Next.REAPPLY_RESUME)
