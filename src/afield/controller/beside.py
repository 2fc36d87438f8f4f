"""Commands and shells that run now: on nodes, or beside the processes of a job with all that these are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afield.controller.fleet import Fleet
from afield.controller.follow import Frame
from afield.controller.session import Session
from afield.errors import AfieldError, NotFound, UsageError
from afield.model.ids import NodeName
from afield.model.job import Job

Find = Callable[[int], Job]


@dataclass(frozen=True, slots=True)
class Member:
    """Where a command runs: a node, and with `attempt` beside a process of it there; `worker` counts them."""

    node: NodeName
    worker: int
    attempt: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """Runs commands on many at once; `find` gives a job or raises NotFound."""

    fleet: Fleet
    find: Find

    def on_nodes(self, names: list[str] | None, argv: list[str], variables: dict[str, str]) -> AsyncIterator[Frame]:
        """One command on the named nodes, or on all; each is a worker of it, by its place in the list."""
        known = [view["name"] for view in self.fleet.all()] if names is None else names
        chosen = [NodeName(self.fleet.view(name)["name"]) for name in known]
        members = [Member(name, worker) for worker, name in enumerate(chosen)]
        return self._run(members, argv, {"AFIELD_WORKERS": str(len(members)), **variables})

    def in_job(
        self, number: int, workers: list[int] | None, argv: list[str], variables: dict[str, str]
    ) -> AsyncIterator[Frame]:
        """One command beside the first process of each worker of a job, or of some. Raises NotFound."""
        return self._run(self._members(number, workers), argv, variables)

    async def shell(self, number: int, worker: int) -> dict[str, Any]:
        """How the caller's own terminal gets a shell beside a process. Raises NotFound, Unreachable."""
        (member,) = self._members(number, [worker])
        link = await self.fleet.session(member.node).link_now()
        found, _ = await link.call("beside", attempt=member.attempt, rank=member.rank, script=True)
        return {**self.fleet.shell(member.node, found["script"]), "node": str(member.node)}

    def _members(self, number: int, workers: list[int] | None) -> list[Member]:
        job = self.find(number)
        attempt = job.last
        if attempt is None:
            raise NotFound(f"job {number} is on no node yet", why=f"it is {job.phase}", hints=[f"afield why {number}"])
        ranks = {name: min(p.rank for p in attempt.placements if p.node == name) for name in attempt.nodes}
        chosen = workers_of(job, workers)
        return [Member(name, worker, str(attempt.id), ranks[name]) for worker, name in chosen]

    async def _run(
        self, members: Sequence[Member], argv: list[str], variables: Mapping[str, str]
    ) -> AsyncIterator[Frame]:
        """Frames as they come, the exit of each member last for it; at the end `done`."""
        queue: asyncio.Queue[Frame | None] = asyncio.Queue(maxsize=64)
        tasks = [asyncio.create_task(self._run_one(member, argv, variables, queue)) for member in members]
        try:
            left = len(tasks)
            while left:
                frame = await queue.get()
                if frame is None:
                    left -= 1
                else:
                    yield frame
            yield {"on": "done"}, b""
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_one(
        self, member: Member, argv: list[str], variables: Mapping[str, str], queue: asyncio.Queue[Frame | None]
    ) -> None:
        who = {"node": str(member.node), "worker": member.worker}
        try:
            session = self.fleet.session(member.node)
            request = {"argv": argv, **await _surroundings(session, member, variables)}
            async for head, data in (await session.link_now()).stream("exec", **request):
                if head.get("more"):
                    await queue.put(({"on": "out", **who, "stream": head["stream"]}, data))
                else:
                    await queue.put(({"on": "exit", **who, "code": head["code"], "signal": head["signal"]}, b""))
        except AfieldError as error:
            await queue.put(({"on": "error", **who, "error": error.as_dict()}, b""))
        await queue.put(None)


async def _surroundings(session: Session, member: Member, variables: Mapping[str, str]) -> dict[str, Any]:
    own = {"AFIELD_NODE": str(member.node), "AFIELD_WORKER": str(member.worker)}
    if not member.attempt:
        return {"variables": {**own, **variables}}
    found, _ = await (await session.link_now()).call("beside", attempt=member.attempt, rank=member.rank)
    return {"variables": {**found["variables"], **variables}, "cwd": found["cwd"]}


def workers_of(job: Job, workers: Sequence[int] | None) -> list[tuple[int, NodeName]]:
    """Workers of a job's newest attempt with their nodes; None means all. Raises NotFound for one that is not there."""
    nodes = list(enumerate(job.last.nodes)) if job.last is not None else []
    for number in workers or ():
        if number >= len(nodes):
            there = "0" if len(nodes) == 1 else f"0 to {len(nodes) - 1}"
            raise NotFound(f"job {job.number} has no worker {number}", why=f"its workers are {there}")
    return nodes if workers is None else [nodes[number] for number in workers]


def say_which(job: Job) -> UsageError:
    """The error for a job of several workers where one has to be named."""
    nodes = workers_of(job, None)
    return UsageError(
        f"job {job.number} has {len(nodes)} workers: say which",
        why=", ".join(f"{number} on {name}" for number, name in nodes),
        hints=["-w 0", "-w 0,1", "-w all"],
    )
