"""Why a job that several nodes could take is on the one that it is on: the rule of `fit`, in a few words."""

from __future__ import annotations

from afield.model.attempt import Attempt
from afield.model.job import Job
from afield.model.request import ProcessGroup
from afield.model.world import World
from afield.plan.fit import alone, shape
from afield.plan.free import Room


def chosen(job: Job, attempt: Attempt, world: World) -> str:
    """The difference to the next best node, such as "fewest idle cores of 2 that fit".

    "" where there was no choice, or where something else decided: a slice, the files of an earlier attempt.
    """
    node = world.nodes.get(attempt.nodes[0])
    if len(world.nodes) < 2 or len(attempt.nodes) != 1 or node is None or node.slice:
        return ""
    groups = shape(job.request.groups)
    offers = Room.now(world, without=frozenset({job.number})).offers(job.nodes)
    found = alone(groups, [offer for offer in offers if not offer.slot.node.slice])
    if len(found) < 2 or found[0][0].slot.name != node.name:
        return ""
    first, second = found[0][1], found[1][1]
    at = next(i for i, (mine, other) in enumerate(zip(first, second, strict=True)) if mine != other)
    return f"{_words(groups)[at]} of {len(found)} that fit"


def _words(groups: tuple[ProcessGroup, ...]) -> tuple[str, ...]:
    """What the items of a place in the order of `alone` say."""
    left = [
        (all(g.cpu is None for g in groups), "fewest idle cores"),
        (not any(g.memory_bytes for g in groups), "least idle memory"),
        (not any(g.disk_bytes for g in groups), "least free disk"),
    ]
    left.sort(key=lambda pair: pair[0])
    return (
        "least device memory to spare",
        "fewest idle devices",
        *(word for _, word in left),
        "nearest",
        "first by name",
    )
