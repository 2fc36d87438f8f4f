"""What can never run is refused with the part that cannot be met; what might is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from afield.errors import AfieldError, Exit, NothingFits
from afield.model import event as ev
from afield.model.ids import NodeName
from afield.model.node import Health
from afield.model.request import Request, format, parse
from afield.plan.place import Misfit, impossible, place
from afield.plan.possible import has
from tests.unit.plan.test_place import fleets, small_requests
from tests.unit.plan.worlds import Story


def refused(told: Story, request: str, *nodes: str) -> AfieldError | None:
    return impossible(parse(request), nodes, told.world)


def fleet() -> Story:
    told = Story()
    told.node("box1", *["a100"] * 4, cpu=16.0, memory=128, disk=100)
    told.node("box2", *["v100"] * 8, cpu=64.0, memory=64, disk=50)
    return told


@pytest.mark.parametrize(
    "request_",
    ["[]", "[4:a100]", "[8:gpu]", "[4:a100],[8:v100]", "100:[]", "[cpu=64]", "[mem=128G]", "[4:a100,mem=128G]"],
)
def test_what_an_empty_fleet_holds_is_possible(request_: str) -> None:
    told = fleet()
    told.submit("[4:a100]")
    told.start(1)
    assert refused(told, request_) is None


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ("[5:a100]", "no node has 5 a100"),
        ("[h100]", "no node has any h100"),
        ("[],[9:gpu]", "no node has 9 gpus"),
        ("[a100,v100]", "no node has all of [a100,v100]"),
        ("[cpu=65]", "no node has 65 cores"),
        ("[mem=200G]", "no node has 200G memory"),
        ("[disk=1T]", "no node has 1T free disk"),
        ("[a100,cpu=32]", "no node has all of [a100,cpu=32]"),
        ("2:[4:a100]", "the nodes together cannot hold 2:[4:a100]"),
        ("[4:a100],[a100]", "the nodes together cannot hold [4:a100],[a100]"),
    ],
)
def test_what_no_node_can_hold_is_refused(request_: str, what: str) -> None:
    error = refused(fleet(), request_)
    assert isinstance(error, NothingFits)
    assert (error.what, error.exit) == (what, Exit.NOTHING_FITS)
    assert "box1 has 4 a100 with 16G, 16 cores, 128G memory, 100G free disk" in error.why
    assert error.hints


def test_an_unknown_model_names_the_known_ones() -> None:
    error = refused(fleet(), "[h100]")
    assert error is not None
    assert error.hints == ("known models: a100, v100",)


def test_the_filter_counts() -> None:
    assert refused(fleet(), "[4:a100]", "box1") is None
    error = refused(fleet(), "[4:a100]", "box2")
    assert error is not None
    assert "box1" not in error.why


def test_no_nodes_at_all_and_no_such_node() -> None:
    nobody = refused(Story(), "[]")
    assert nobody is not None
    assert nobody.what == "there are no nodes"
    other = refused(fleet(), "[]", "box9")
    assert other is not None
    assert (other.what, other.why) == ("no node is called box9", "known: box1, box2")


@pytest.mark.parametrize("health", [Health.UNREACHABLE, Health.NEEDS_LOGIN, Health.DRAINING])
def test_what_is_passing_refuses_nothing(health: Health) -> None:
    told = fleet()
    told.tell(ev.NodeObserved(NodeName("box1"), health), ev.NodeSet(NodeName("box2"), drained=True))
    assert refused(told, "[4:a100],[8:v100]") is None


def test_a_node_that_is_gone_has_nothing_and_an_unknown_one_may_have_anything() -> None:
    told = fleet()
    told.tell(ev.NodeObserved(NodeName("box1"), Health.GONE))
    assert refused(told, "[a100]") is not None
    told.node("box3", health=Health.NEW)
    assert refused(told, "[a100]") is None
    assert refused(told, "[a100]", "box2") is not None


def test_strangers_refuse_nothing() -> None:
    told = Story()
    told.node("box1", "a", "a", busy=(0, 1))
    assert refused(told, "[2:a]") is None
    assert refused(told, "[3:a]") is not None


def test_a_backend_that_makes_slices_may_make_anything() -> None:
    told = fleet()
    assert impossible(parse("[v4]"), ("backend:fake",), told.world) is not None
    assert impossible(parse("[v4]"), ("backend:fake",), told.world, elastic={"fake"}) is None


def test_many_nodes_are_listed_in_part() -> None:
    told = Story()
    for i in range(20):
        told.node(f"box{i}")
    error = refused(told, "[gpu]")
    assert error is not None
    assert error.why.endswith("and 12 more")


def test_words_for_what_a_node_has() -> None:
    told = Story()
    box = told.node("box1", "a", "b", "a", cpu=2.5)
    assert has(told.world.nodes[box]) == "2 a with 16G, 1 b with 16G, 2.5 cores, 64G memory, 100G free disk"


@settings(max_examples=100, deadline=None)
@given(fleets(), small_requests)
def test_possible_is_what_fits_when_nobody_holds_anything(told: Story, request_: Request) -> None:
    told.world.jobs.clear()
    for name, node in told.world.nodes.items():
        devices = tuple(replace(d, busy="") for d in node.capacity.devices)
        told.world.nodes[name] = replace(node, capacity=replace(node.capacity, devices=devices))
    job = told.job(told.submit(format(request_)))
    assert isinstance(place(job, told.world), Misfit) == (impossible(request_, (), told.world) is not None)
