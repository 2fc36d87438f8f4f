"""Spreading process groups over nodes: counts only, no device ids.

First the quick way (whole on the tightest node, else the node that takes most first), which never misses for one group;
for several groups, where it may, a search that looks at everything within a budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from afield.model.request import DeviceAsk, ProcessGroup
from afield.plan.free import Amounts, Offer, add

Groups = tuple[ProcessGroup, ...]
Counts = tuple[int, ...]
Spread = list[tuple[Offer, Counts]]
"""How many processes of each group a node takes."""

LOCAL = "local"
"""The backend of the machine that the controller runs on."""

SEARCH_BUDGET = 2_000
"""Node visits of one search."""

SEARCH_DEPTH = 300
"""Groups times nodes beyond which no search is tried."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A spread, or None; `certain` says that None is a proof."""

    found: Spread | None
    certain: bool = True


@lru_cache(maxsize=4096)
def shape(groups: Groups) -> Groups:
    """The groups as they are compared: models in small letters, a model named twice summed."""
    return tuple(_merged(group) for group in groups)


def _merged(group: ProcessGroup) -> ProcessGroup:
    counts: dict[str, int] = {}
    for ask in group.devices:
        counts[ask.model.lower()] = counts.get(ask.model.lower(), 0) + ask.count
    asks = tuple(DeviceAsk(model, count) for model, count in counts.items())
    return group if asks == group.devices else replace(group, devices=asks)


def fit(groups: Groups, offers: Sequence[Offer]) -> Answer:
    """How many processes of each group go to which node.

    The order of preference: one node that stands alone; several that do; one slice; anything. On a node that fits, as
    few devices as possible stay idle, then cores, memory, disk.
    """
    slices: dict[str, list[Offer]] = {}
    for offer in offers:
        slices.setdefault(offer.slot.node.slice, []).append(offer)
    answer = spread(groups, slices.pop("", []))
    if answer.found is not None or not slices:
        return answer
    for name in sorted(slices, key=lambda s: (sum(o.free for o in slices[s]), len(slices[s]), s)):
        answer = spread(groups, slices[name])
        if answer.found is not None:
            return answer
    return spread(groups, offers)


def spread(groups: Sequence[ProcessGroup], offers: Sequence[Offer]) -> Answer:
    """Where all processes of all groups go."""
    order = sorted(range(len(groups)), key=lambda i: _hardness(groups[i]), reverse=True)
    filler = _Filler(groups, order)
    want = tuple(g.count for g in groups)
    takes = [(offer, filler.fill(offer, want)) for offer in offers]
    takes = [(offer, counts) for offer, counts in takes if any(counts)]
    for i, count in enumerate(want) if len(want) > 1 else ():
        if sum(filler.alone(offer, i, count) for offer, _ in takes) < count:
            return Answer(None)
    if (found := _greedy(filler, want, takes)) is not None:
        return Answer(found)
    if len(groups) == 1:
        return Answer(None)
    return _search(filler, want, [offer for offer, _ in takes])


def alone(groups: Groups, offers: Sequence[Offer]) -> list[tuple[Offer, tuple[float | str, ...]]]:
    """The offers that take everything alone, the preferred one first, each with its place in that order.

    The items of a place are compared in turn: idle memory of devices, devices, three amounts, away from here, name.
    """
    filler = _Filler(groups, sorted(range(len(groups)), key=lambda i: _hardness(groups[i]), reverse=True))
    want = tuple(g.count for g in groups)
    found = [(o, filler.tightness(o, want)) for o in offers if filler.fill(o, want) == want]
    return sorted(found, key=lambda pair: pair[1])


def _hardness(group: ProcessGroup) -> tuple[float, ...]:
    devices = sum(ask.count for ask in group.devices)
    return group.device_bytes, devices, group.cpu or 0.0, group.memory_bytes, group.disk_bytes


class _Filler:
    """Puts groups on one node, hardest first."""

    def __init__(self, groups: Sequence[ProcessGroup], order: Sequence[int]) -> None:
        self.groups = groups
        self.order = order

    def fill(self, offer: Offer, want: Counts) -> Counts:
        """As many of the wanted processes as the node takes."""
        load = Amounts()
        counts = [0] * len(want)
        for i in self.order:
            if want[i]:
                counts[i] = offer.room_for(self.groups[i], load, want[i])
                if counts[i]:
                    add(load, self.groups[i], counts[i])
        return tuple(counts)

    def alone(self, offer: Offer, i: int, want: int) -> int:
        """How many processes of one group the node takes when there is nothing else."""
        return offer.room_for(self.groups[i], Amounts(), want)

    def tightness(self, offer: Offer, counts: Counts) -> tuple[float | str, ...]:
        """What stays idle on the node: memory of devices where some was asked for, devices, cores, memory, disk.

        The less the better; of the last three what was asked for comes before what was not. Disk that nobody asked for
        says nothing, it changes by the minute. Where all is equal this machine comes first, then the first name.
        """
        load = Amounts()
        spare = 0
        for group, count in zip(self.groups, counts, strict=True):
            if count:
                add(load, group, count)
                spare += offer.idle_bytes(group, count)
        left = [
            (not load.cpu, offer.cpu - load.cpu - load.soft),
            (not load.memory, offer.memory - load.memory),
            (not load.disk, offer.disk - load.disk if load.disk else 0),
        ]
        left.sort(key=lambda pair: pair[0])
        far = offer.slot.node.backend != LOCAL
        return spare, offer.free - load.total, *(amount for _, amount in left), far, offer.slot.name


def _greedy(filler: _Filler, want: Counts, takes: Spread) -> Spread | None:
    found: Spread = []
    whole = [t for t in takes if t[1] == want]
    if whole:
        return [min(whole, key=lambda t: filler.tightness(*t))]
    takes = sorted(takes, key=lambda t: (-sum(t[1]), filler.tightness(*t)))
    left = want
    while takes:
        if sum(takes[0][1]) >= sum(left):
            whole = [t for t in ((o, filler.fill(o, left)) for o, _ in takes) if t[1] == left]
            if whole:
                return [*found, min(whole, key=lambda t: filler.tightness(*t))]
        offer, _ = takes.pop(0)
        counts = filler.fill(offer, left)
        if any(counts):
            found.append((offer, counts))
            left = tuple(a - b for a, b in zip(left, counts, strict=True))
            if not any(left):
                return found
    return None


def _search(filler: _Filler, want: Counts, offers: Sequence[Offer]) -> Answer:
    """Depth first over (group, node): how many of the group does this node take."""
    if len(want) * len(offers) > SEARCH_DEPTH:
        return Answer(None, certain=False)
    search = _Search(filler, offers)
    found = search.run(0, 0, want[filler.order[0]], want)
    if found:
        spread_found = [(o, tuple(c)) for o, c in zip(offers, search.counts, strict=True) if any(c)]
        return Answer(spread_found)
    return Answer(None, certain=search.budget > 0)


class _Search:
    def __init__(self, filler: _Filler, offers: Sequence[Offer]) -> None:
        self.filler = filler
        self.offers = offers
        self.counts = [[0] * len(filler.groups) for _ in offers]
        self.budget = SEARCH_BUDGET

    def run(self, step: int, node: int, left: int, want: Counts) -> bool:
        """Whether the rest fits: `left` processes of the group at `step` from node `node` on, then the later groups."""
        if left == 0:
            if step + 1 == len(self.filler.order):
                return True
            return self.run(step + 1, 0, want[self.filler.order[step + 1]], want)
        if node == len(self.offers):
            return False
        group = self.filler.order[step]
        for count in self._choices(node, group, left):
            self.counts[node][group] = count
            if self.run(step, node + 1, left - count, want):
                return True
        self.counts[node][group] = 0
        return False

    def _choices(self, node: int, group: int, left: int) -> Iterator[int]:
        load = Amounts()
        for i, count in enumerate(self.counts[node]):
            if count and i != group:
                add(load, self.filler.groups[i], count)
        most = self.offers[node].room_for(self.filler.groups[group], load, left)
        for count in range(most, -1, -1):
            if self.budget <= 0:
                return
            self.budget -= 1
            yield count
