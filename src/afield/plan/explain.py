"""Why a job is where it is: what binds, who holds it, what change would start it now. Never empty for a queued job."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from afield.model.ids import JobNumber, NodeName
from afield.model.job import Goal, Job
from afield.model.node import Health, Node
from afield.model.request import ANY_MODEL, ProcessGroup, format_group
from afield.model.request import format as format_request
from afield.model.world import World
from afield.plan.fit import fit, shape
from afield.plan.free import Offer, Room, Slot, allowed, node_devices, usable
from afield.plan.need import needs, table, verdicts
from afield.plan.order import Line, Share, equal, line
from afield.plan.place import Misfit, place
from afield.plan.possible import SHOWN, has, impossible, parts
from afield.plan.retry import Again, Held, Over, judge

TRIED = 32
"""So many jobs are tried for "if this one ended, yours would start"."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reason` is one line; `binds` what is missing, `held_by` who has it, `would_start` what would start the job."""

    reason: str
    binds: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()
    would_start: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def explain(job: Job, world: World, now: float) -> Explanation:
    """Why the job is where it is. For many jobs at once make one `Explainer` and ask it for reasons."""
    return Explainer(world, now).explain(job)


def reasons(world: World, now: float) -> dict[JobNumber, str]:
    """The one-line reason of every job that waits."""
    explainer = Explainer(world, now)
    return {job.number: explainer.reason(job) for job in world.jobs.values() if job.waiting}


class Explainer:
    """Explains the jobs of one world at one time; what they share is found once."""

    def __init__(self, world: World, now: float, share: Share = equal) -> None:
        self.world = world
        self.now = now
        self.share = share
        self._room: Room | None = None
        self._idle: Room | None = None
        self._line: tuple[Line, dict[JobNumber, int], set[JobNumber]] | None = None
        self._told: dict[object, Explanation | None] = {}

    def reason(self, job: Job) -> str:
        """Why the job is where it is, in one line."""
        return self._tell(job).reason

    def explain(self, job: Job) -> Explanation:
        """All that can be said, what would start the job included."""
        told = self._tell(job)
        return told if told.would_start or not job.waiting else replace(told, would_start=self._would_start(job))

    def _tell(self, job: Job) -> Explanation:
        return _status(job) or _pause(job, self.now) or self._by_shape(job) or self._in_line(job)

    # what all jobs of one shape share

    def _by_shape(self, job: Job) -> Explanation | None:
        key = (job.request.groups, job.nodes)
        if key not in self._told:
            self._told[key] = self._no_node(job) or self._no_answer(job) or self._all_held(job)
        return self._told[key]

    def _no_node(self, job: Job) -> Explanation | None:
        error = impossible(job.request, job.nodes, self.world)
        if error is None:
            return None
        if needs(job.request):
            error = table(error, verdicts(job.request, job.nodes, self.world, self.now))
        return Explanation(
            f"nothing fits: {error.what}",
            binds=(format_request(job.request),),
            would_start=error.hints or ("add a node that fits",),
            lines=tuple(error.why.splitlines()),
        )

    def _no_answer(self, job: Job) -> Explanation | None:
        """Nodes that are there but not usable now, and devices that strangers use."""
        self._idle = self._idle or Room.idle(self.world)
        if self._fits(job, self._idle):
            return None
        mine = [n for n in self.world.nodes.values() if n.health is not Health.GONE and allowed(job.nodes, n)]
        away = [n for n in mine if not usable(n) or n.slice in self._idle.broken]
        busy = {name for attempt in self.world.live() for name in attempt.nodes}
        strangers = [text for n in mine if usable(n) for text in _strangers(n)]
        states = [_state(n, busy) for n in away]
        if len(away) == len(mine):
            reason = f"no node is ready: {_listed(states)}" if len(mine) > 1 else states[0]
        else:
            waits = _listed([*states, *strangers]) or "more room than the nodes that answer have"
            reason = f"{format_request(job.request)} does not fit on the nodes that are ready; {waits}"
        hints = tuple(dict.fromkeys(h for n in away for h in n.hints))
        return Explanation(
            reason,
            binds=tuple(states) or (self._missing(job, self._idle)[0],),
            held_by=tuple(strangers),
            would_start=(*(_cure(n) for n in away), *hints, *(f"{s} ends" for s in strangers)),
            lines=tuple(_told(n) for n in away if n.detail),
        )

    def _all_held(self, job: Job) -> Explanation | None:
        room = self._now()
        if self._fits(job, room):
            return None
        missing, part = self._missing(job, room)
        held = self._holding(job, room, part)
        jobs = sorted({j for _, j in held})
        who = _listed([f"job {j}" for j in jobs]) or "others"
        strangers = [t for s in room.slots.values() if allowed(job.nodes, s.node) for t in _strangers(s.node)]
        by_slot = {s.name: [f"job {j}" for t, j in held if t is s] for s, _ in held}
        lines = [f"{name} has {has(room.slots[name].node)}; held by {_listed(by)}" for name, by in by_slot.items()]
        return Explanation(
            f"waits for {missing}, held by {who}",
            binds=(missing,),
            held_by=(*(f"job {j} on {s.name}" for s, j in held), *strangers),
            lines=tuple(lines),
        )

    def _holding(self, job: Job, room: Room, part: ProcessGroup | None) -> list[tuple[Slot, JobNumber]]:
        """Who holds some of what a part of the request needs, on the nodes that the job may use."""
        held = [(s, j) for s, j in room.holders() if allowed(job.nodes, s.node)]
        if part is None:
            return held
        return [(s, j) for s, j in held if s.node.slice or self._has_some(j, s, part)] or held

    def _has_some(self, holder: JobNumber, slot: Slot, part: ProcessGroup) -> bool:
        live = self.world.jobs[holder].live
        models = {d.id: d.model.lower() for d in node_devices(slot.node)}
        wanted = {ask.model for ask in part.devices}
        for held in live.placements if live is not None else ():
            if held.node != slot.name:
                continue
            if any(ANY_MODEL in wanted or models.get(d) in wanted for d in held.devices):
                return True
            if (part.cpu and held.cpu) or (part.memory_bytes and held.memory_bytes):
                return True
            if part.disk_bytes and held.disk_bytes:
                return True
        return False

    def _missing(self, job: Job, room: Room) -> tuple[str, ProcessGroup | None]:
        """The smallest part of the request that does not fit into a room, in words and as a request of its own."""
        offers = room.offers(job.nodes)
        groups = shape(job.request.groups)
        for group in groups:
            one = replace(group, count=1)
            if fit((one,), offers).found is None:
                for part, text in parts(one):
                    if fit((part,), offers).found is None:
                        return text, part
                return "room for a process" if not group.devices and group.cpu is None else format_group(one), None
        return ",".join(format_group(g) for g in groups), groups[0] if len(groups) == 1 else None

    # the job's own place in line

    def _in_line(self, job: Job) -> Explanation:
        waiting, place_of, placed = self._walk()
        mine = place_of.get(job.number)
        if mine is None or job.number in placed:
            return Explanation("has room and starts now", would_start=("nothing is missing: it starts now",))
        before = self._before(job, waiting, place_of)
        if before is None:
            return Explanation("is next in line", would_start=("the controller's next look",))
        other = self.world.jobs[before]
        state = "starts now" if before in placed else f"waits for {format_request(other.request)}"
        first = f"number {mine + 1} in line"
        return Explanation(
            f"behind job {before} in line, which {state}",
            binds=(f"room that job {before} is first to get",),
            held_by=(f"job {before}",),
            would_start=(f"job {before} ends or is stopped", "a higher priority"),
            lines=(first, f"what is free now is kept for jobs that came first; job {before} {state}"),
        )

    def _before(self, job: Job, waiting: Line, place_of: dict[JobNumber, int]) -> JobNumber | None:
        """The job earliest in line that has, or keeps, room this one could use."""
        found: list[JobNumber] = []
        for offer in self._now().offers(job.nodes):
            if not _takes(offer, job):
                continue
            slot = waiting.room.slots[offer.slot.name]
            found += [j for j in (*slot.holders, slot.keeper) if j is not None and j in place_of]
        earlier = [j for j in found if place_of[j] < place_of[job.number]]
        return min(
            earlier or [j for j in place_of if place_of[j] < place_of[job.number]],
            key=place_of.__getitem__,
            default=None,
        )

    def _walk(self) -> tuple[Line, dict[JobNumber, int], set[JobNumber]]:
        """The line as the plan would go through it now: places in it, and who gets room."""
        if self._line is None:
            jobs = line(self.world, self.now, self.share)
            waiting = Line(self.world)
            placed: set[JobNumber] = set()
            for job in jobs:
                if waiting.room.full():
                    break
                if waiting.turn(job) is not None:
                    placed.add(job.number)
            self._line = waiting, {job.number: i for i, job in enumerate(jobs)}, placed
        return self._line

    def _would_start(self, job: Job) -> tuple[str, ...]:
        """Which jobs' end would make room."""
        room = self._now()
        holders = sorted({j for _, j in self._holding(job, room, self._missing(job, room)[1])})
        enough = [j for j in holders[:TRIED] if self._fits(job, Room.now(self.world, frozenset({j})))]
        if enough:
            return tuple(f"job {j} ends" for j in enough)
        return (f"enough of these end: {_listed([f'job {j}' for j in holders])}",)

    def _now(self) -> Room:
        self._room = self._room or Room.now(self.world)
        return self._room

    def _fits(self, job: Job, room: Room) -> bool:
        return not isinstance(place(job, self.world, room), Misfit)


def _status(job: Job) -> Explanation | None:
    if job.decided is not None:
        return Explanation(f"it is over: {job.phase}".replace("_", " "))
    if job.live is not None:
        return Explanation(f"it is {job.phase} on {_listed(job.live.nodes)}")
    follows = judge(job)
    if job.goal is Goal.STOP:
        return Explanation("it was asked to stop and ends now", would_start=("a new job",))
    if isinstance(follows, Over):
        said = str(follows.outcome).replace("_", " ")
        return Explanation(
            f"attempt {len(job.attempts)} ended ({said}) and the job ends with it", would_start=("a new job",)
        )
    return None


def _pause(job: Job, now: float) -> Explanation | None:
    """Held, or backing off."""
    follows = judge(job)
    held = job.hold or (follows.reason if isinstance(follows, Held) else "")
    if held:
        return Explanation(
            f"held: {held}",
            binds=("the hold",),
            held_by=("a person must decide",),
            would_start=(f"job {job.number} is released",),
        )
    until = job.not_before or (follows.at if isinstance(follows, Again) else 0.0)
    if until <= now:
        return None
    at = datetime.fromtimestamp(until, UTC).strftime("%H:%M:%S UTC")
    after = f" after {follows.reason}" if isinstance(follows, Again) else ""
    return Explanation(
        f"tries again at {at}, in {until - now:.0f} s{after}".replace("\n", " "),
        binds=("the time between two attempts",),
        would_start=(f"the time {at}", f"job {job.number} is released"),
    )


def _takes(offer: Offer, job: Job) -> bool:
    return any(fit((replace(g, count=1),), [offer]).found is not None for g in shape(job.request.groups))


def _told(node: Node) -> str:
    """What a node last said of itself; its own words often begin with its name."""
    return node.detail if node.name in node.detail else f"{node.name}: {node.detail}"


def _state(node: Node, busy: Container[NodeName]) -> str:
    if node.health is Health.READY and node.drained:
        return f"{node.name} is {'draining' if node.name in busy else 'drained'}"
    words = {
        Health.NEW: "has not answered yet",
        Health.READY: f"waits for the other nodes of slice {node.slice}",
        Health.UNREACHABLE: "is unreachable",
        Health.NEEDS_LOGIN: "needs a login",
        Health.DRAINING: "is draining",
        Health.GONE: "is gone",
    }
    return f"{node.name} {words[node.health]}"


def _cure(node: Node) -> str:
    if node.health is Health.NEEDS_LOGIN:
        return f"afield node login {node.name}"
    if node.drained:
        return f"afield node set {node.name} drained=false"
    return f"{node.name} is ready"


def _strangers(node: Node) -> list[str]:
    return [f"{d.busy} (not a job) on {node.name}, {d.model} {d.index}" for d in node_devices(node) if d.busy]


def _listed(words: Iterable[str]) -> str:
    shown = list(words)
    if len(shown) > SHOWN:
        return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more"
    return " and ".join(([", ".join(shown[:-1])] if len(shown) > 1 else []) + shown[-1:])
