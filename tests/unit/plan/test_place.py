"""Where processes go: all or nothing, tight, on few nodes, slices whole, and never what is not free."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.model import event as ev
from afield.model.attempt import Placement
from afield.model.ids import NodeName
from afield.model.node import Health, Node
from afield.model.request import ANY_MODEL, DeviceAsk, ProcessGroup, Request, format
from afield.model.world import World
from afield.plan.fit import fit, shape
from afield.plan.free import Room, allowed, node_devices, usable
from afield.plan.place import Misfit, place
from tests.unit.plan.worlds import G, Story


def placed(told: Story, request: str, *nodes: str) -> list[tuple[str, tuple[str, ...]]] | None:
    """Node and devices of each process as they would be placed now; None where they do not fit."""
    number = told.submit(request, *nodes)
    found = place(told.job(number), told.world)
    del told.world.jobs[number]
    return None if isinstance(found, Misfit) else [(str(p.node), p.devices) for p in found]


def names(told: Story, request: str, *nodes: str) -> list[str] | None:
    found = placed(told, request, *nodes)
    return None if found is None else [node for node, _ in found]


def test_the_tightest_node_is_taken() -> None:
    told = Story()
    told.node("big", *["a"] * 8)
    told.node("small", *["a"] * 2)
    told.node("none")
    assert placed(told, "[2:a]") == [("small", ("a#0", "a#1"))]
    assert names(told, "[3:a]") == ["big"]
    assert names(told, "[]") == ["none"]


def test_among_equal_devices_cores_and_memory_decide() -> None:
    told = Story()
    told.node("wide", cpu=64.0)
    told.node("narrow", cpu=4.0, memory=128)
    told.node("lean", cpu=4.0, memory=32)
    assert names(told, "[cpu=2]") == ["lean"]
    assert names(told, "[cpu=2,mem=40G]") == ["narrow"]
    assert names(told, "[cpu=8]") == ["wide"]


def test_few_nodes_are_taken() -> None:
    told = Story()
    for name in ("one", "two", "three"):
        told.node(name, "a")
    told.node("four", *["a"] * 4)
    assert names(told, "4:[a]") == ["four"] * 4
    assert names(told, "2:[a]") == ["four"] * 2
    assert Counter(names(told, "5:[a]") or []) == {"four": 4, "one": 1}


def test_ranks_are_in_order_of_groups() -> None:
    told = Story()
    told.node("box1", *["a"] * 2)
    told.node("box2", *["b"] * 2)
    number = told.submit("2:[b],2:[a]")
    found = place(told.job(number), told.world)
    assert isinstance(found, tuple)
    assert [(p.rank, p.group, p.index, str(p.node)) for p in found] == [
        (0, 0, 0, "box2"),
        (1, 0, 1, "box2"),
        (2, 1, 0, "box1"),
        (3, 1, 1, "box1"),
    ]


def test_a_process_never_spans_nodes() -> None:
    told = Story()
    told.node("box1", *["a"] * 4)
    told.node("box2", *["a"] * 4)
    assert placed(told, "[8:a]") is None
    assert names(told, "2:[4:a]") == ["box1", "box2"]
    assert placed(told, "3:[4:a]") is None


def test_any_takes_what_nobody_named() -> None:
    told = Story()
    told.node("box1", "a", "a", "b")
    assert placed(told, "[gpu],[2:a]") == [("box1", ("b#2",)), ("box1", ("a#0", "a#1"))]
    assert placed(told, "[A,gpu]") == [("box1", ("a#0", "a#1"))]


def test_a_model_named_twice_is_summed() -> None:
    told = Story()
    told.node("box1", "a", "b")
    number = told.submit("[]")
    twice = Request((ProcessGroup(devices=(DeviceAsk("a"), DeviceAsk("A"))),))
    assert isinstance(place(replace(told.job(number), request=twice), told.world), Misfit)


def test_strangers_and_live_attempts_hold_devices() -> None:
    told = Story()
    told.node("box1", *["a"] * 4, busy=(1,))
    told.submit("[a]")
    told.start(1)
    assert placed(told, "[2:a]") == [("box1", ("a#2", "a#3"))]
    assert placed(told, "[3:a]") is None
    told.exit(1)
    assert placed(told, "[3:a]") == [("box1", ("a#0", "a#2", "a#3"))]


def test_memory_and_disk_are_what_others_leave() -> None:
    told = Story()
    told.node("box1", memory=64, disk=10)
    told.submit("[mem=40G,disk=9G]")
    told.start(1)
    assert placed(told, "[mem=25G]") is None
    assert placed(told, "[disk=2G]") is None
    assert names(told, "[mem=24G,disk=1G]") == ["box1"]


def test_processes_without_cores_share_an_idle_node_and_only_that() -> None:
    told = Story()
    told.node("box1", cpu=2.0)
    assert names(told, "8:[]") == ["box1"] * 8
    assert names(told, "8:[],[cpu=2]") == ["box1"] * 9
    assert placed(told, "8:[],2:[cpu=2]") is None
    told.submit("[]")
    told.start(1)
    assert names(told, "[]") == ["box1"]
    assert placed(told, "2:[]") is None
    assert names(told, "[cpu=1]") == ["box1"]
    assert placed(told, "[cpu=1.5]") is None


@pytest.mark.parametrize("health", [h for h in Health if h is not Health.READY])
def test_only_ready_nodes_take_jobs(health: Health) -> None:
    told = Story()
    told.node("box1", health=health)
    assert placed(told, "[]") is None


def test_drained_nodes_take_no_jobs() -> None:
    told = Story()
    box = told.node("box1")
    told.tell(ev.NodeSet(box, drained=True))
    assert placed(told, "[]") is None
    told.tell(ev.NodeSet(box, drained=False))
    assert names(told, "[]") == ["box1"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ["box1"]),
        (("box2",), ["box2"]),
        (("box*",), ["box1"]),
        (("*",), ["box1"]),
        (("b*2", "nobody"), ["box2"]),
        (("box",), None),
        (("backend:fake",), ["spare"]),
        (("b.x1",), None),
    ],
)
def test_a_filter_names_nodes(words: tuple[str, ...], found: list[str] | None) -> None:
    told = Story()
    told.node("box1")
    told.node("box2")
    told.node("spare", cpu=64.0, backend="fake")
    assert names(told, "[]", *words) == found


def test_declared_devices_count_where_none_were_found() -> None:
    told = Story()
    box = told.node("box1")
    told.tell(ev.NodeSet(box, declared=(("gtx1070", 2), ("gtx1060", 1))))
    assert [(d.id, d.index) for d in node_devices(told.world.nodes[box])] == [
        ("gtx1070-0", 0),
        ("gtx1070-1", 1),
        ("gtx1060-0", 2),
    ]
    assert placed(told, "[gtx1060,gtx1070]") == [("box1", ("gtx1070-0", "gtx1060-0"))]
    real = told.node("box2", "a")
    told.tell(ev.NodeSet(real, declared=(("gtx1070", 2),)))
    assert [d.id for d in node_devices(told.world.nodes[real])] == ["a#0"]


def pod(told: Story, name: str, size: int) -> None:
    for i in range(size):
        told.node(f"{name}-{i}", *["v4"] * 4, slice=name)


def test_a_slice_is_used_by_one_attempt() -> None:
    told = Story()
    pod(told, "pod", 2)
    told.submit("[4:v4]")
    told.start(1)
    assert placed(told, "[v4]") is None
    assert placed(told, "[]") is None
    told.exit(1)
    assert names(told, "[v4]") == ["pod-0"]


def test_a_slice_that_lacks_a_node_is_not_used() -> None:
    told = Story()
    pod(told, "pod", 2)
    told.tell(ev.NodeObserved(NodeName("pod-1"), Health.UNREACHABLE))
    assert placed(told, "[v4]") is None


def test_a_gang_goes_to_the_tightest_slice_and_spares_slices_it_does_not_need() -> None:
    told = Story()
    pod(told, "big", 4)
    pod(told, "small", 2)
    assert names(told, "2:[4:v4]") == ["small-0", "small-1"]
    assert names(told, "3:[4:v4]") == ["big-0", "big-1", "big-2"]
    assert Counter(names(told, "6:[4:v4]") or []) == {
        f"{p}-{i}": 1 for p, n in (("big", 4), ("small", 2)) for i in range(n)
    }
    told.node("alone", *["v4"] * 4)
    assert names(told, "[v4]") == ["alone"]


def test_a_slice_can_be_named() -> None:
    told = Story()
    pod(told, "pod", 2)
    told.node("alone", *["v4"] * 4)
    assert names(told, "[v4]", "pod") == ["pod-0"]


def test_greed_is_not_the_last_word() -> None:
    """The tightest node for the big process is the only one for the others: a look at everything finds the way."""
    told = Story()
    told.node("box1", "a", "a", cpu=4.0, memory=80)
    told.node("box2", "a", "a", cpu=16.0, memory=8)
    assert names(told, "[2:a],2:[a,mem=40G]") == ["box2", "box1", "box1"]


def fits(node: Node, held: list[Placement], mine: list[ProcessGroup]) -> bool:
    """Whether processes fit on a node beside what others hold: the rules once more, said plainly."""
    free = Counter(d.model for d in node_devices(node) if not d.busy)
    by_id = {d.id: d.model for d in node_devices(node)}
    free.subtract(by_id[d] for p in held for d in p.devices)
    asked = Counter[str]()
    for group in mine:
        for ask in group.devices:
            asked[ask.model] += ask.count
    total = sum(free.values())
    if any(free[m] < n for m, n in asked.items() if m != ANY_MODEL) or sum(asked.values()) > total:
        return False
    hard = sum(g.cpu or 0.0 for g in mine)
    soft = sum(g.cpu is None for g in mine) if held else 0
    return (
        hard + soft <= node.capacity.cpu - sum(p.cpu for p in held)
        and sum(g.memory_bytes for g in mine) <= node.capacity.memory_bytes - sum(p.memory_bytes for p in held)
        and sum(g.disk_bytes for g in mine) <= node.capacity.disk_bytes - sum(p.disk_bytes for p in held)
    )


def possible(world: World, request: Request) -> bool:
    """Whether any assignment of processes to nodes fits, by trying them all."""
    processes = [g for g in request.groups for _ in range(g.count)]
    nodes = [n for n in world.nodes.values() if usable(n)]
    for choice in product(range(len(nodes)), repeat=len(processes)):
        parts: dict[int, list[ProcessGroup]] = {}
        for process, index in zip(processes, choice, strict=True):
            parts.setdefault(index, []).append(process)
        if all(fits(nodes[i], list(world.held(nodes[i].name)), mine) for i, mine in parts.items()):
            return True
    return False


models = st.sampled_from(["a", "b", "gpu"])
small = st.builds(
    ProcessGroup,
    count=st.integers(1, 2),
    devices=st.dictionaries(models, st.integers(1, 3), max_size=2).map(
        lambda d: tuple(DeviceAsk(m, n) for m, n in d.items())
    ),
    cpu=st.sampled_from([None, None, 1.0, 2.0, 3.5]),
    memory_bytes=st.sampled_from([0, 0, 8 * G, 20 * G]),
    disk_bytes=st.sampled_from([0, 0, 5 * G]),
)
small_requests = st.lists(small, min_size=1, max_size=2).map(lambda g: Request(tuple(g)))


@st.composite
def fleets(draw: st.DrawFn) -> Story:
    told = Story()
    for i in range(draw(st.integers(1, 3))):
        told.node(
            f"box{i}",
            *draw(st.lists(st.sampled_from(["a", "b"]), max_size=4)),
            cpu=float(draw(st.integers(1, 6))),
            memory=draw(st.sampled_from([8, 32, 64])),
            disk=draw(st.sampled_from([5, 10])),
            busy=tuple(draw(st.sets(st.integers(0, 3), max_size=1))),
        )
    for request in draw(st.lists(small_requests, max_size=3)):
        told.submit(format(request))
    told.step()
    return told


@settings(max_examples=150, deadline=None)
@given(fleets(), small_requests)
def test_a_place_is_found_if_and_only_if_there_is_one(told: Story, request_: Request) -> None:
    number = told.submit(format(request_))
    found = place(told.job(number), told.world)
    assert isinstance(found, tuple) == possible(told.world, request_)
    if isinstance(found, tuple):
        legal(told, request_, found)


def legal(told: Story, request: Request, found: tuple[Placement, ...]) -> None:
    """Ranks flat, each process with what it asked, devices free and of the right model, each node big enough."""
    processes = [(g, i, n) for g, group in enumerate(request.groups) for i, n in enumerate([group] * group.count)]
    assert [(p.rank, p.group, p.index) for p in found] == [(r, g, i) for r, (g, i, _) in enumerate(processes)]
    for name in {p.node for p in found}:
        node = told.world.nodes[name]
        held = list(told.world.held(name))
        mine = [p for p in found if p.node == name]
        assert fits(node, held, [processes[p.rank][2] for p in mine])
        given_ = [d for p in (*mine, *held) for d in p.devices]
        assert len(given_) == len(set(given_))
        free = {d.id: d.model for d in node_devices(node) if not d.busy}
        for p in mine:
            group = processes[p.rank][2]
            got = Counter(free[d] for d in p.devices)
            for ask in group.devices:
                assert ask.model == ANY_MODEL or got[ask.model] >= ask.count
            assert len(p.devices) == sum(ask.count for ask in group.devices)
            assert (p.cpu, p.cpu_asked) == ((1.0, False) if group.cpu is None else (group.cpu, True))
            assert (p.memory_bytes, p.disk_bytes) == (group.memory_bytes, group.disk_bytes)


@settings(max_examples=100, deadline=None)
@given(fleets(), small_requests)
def test_the_same_world_gives_the_same_place(told: Story, request_: Request) -> None:
    job = told.job(told.submit(format(request_)))
    assert place(job, told.world) == place(job, told.world)
    groups = shape(request_.groups)
    answer = fit(groups, Room.now(told.world).offers())
    assert answer.certain


def test_a_filter_is_read_literally() -> None:
    assert allowed(("a.b",), Node(NodeName("a.b"), "ssh"))
    assert not allowed(("a.b",), Node(NodeName("axb"), "ssh"))
