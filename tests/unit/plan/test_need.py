"""What a job needs of a node: the one that fits with the least to spare, and why none of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from afield.errors import NothingFits
from afield.model import event as ev
from afield.model.ids import NodeName
from afield.model.node import Capacity, Device, Health
from afield.model.request import Request, parse, parse_need
from afield.plan.need import needs, passed_over, table, verdicts
from afield.plan.place import Misfit, impossible, place
from tests.unit.plan.worlds import G, Story


def box(told: Story, name: str, *sizes: float, disk: int = 100, cpu: float = 8.0, **more: Device) -> None:
    """A node with a device of each size in GiB, all of one model; a keyword `d1=Device` replaces device 1."""
    found = [Device(f"{name}#{i}", "gpu1", i, int(size * G)) for i, size in enumerate(sizes)]
    for key, device in more.items():
        found[int(key[1:])] = device
    told.tell(
        ev.NodeAdded(NodeName(name), "ssh"),
        ev.NodeObserved(NodeName(name), Health.READY, capacity=Capacity(cpu, 64 * G, disk * G, tuple(found))),
    )


def taken(told: Story, need: str, base: Request | None = None) -> list[tuple[str, tuple[str, ...]]] | None:
    number = told.submit()
    job = replace(told.job(number), request=parse_need(need, base))
    found = place(job, told.world)
    del told.world.jobs[number]
    return None if isinstance(found, Misfit) else [(str(p.node), p.devices) for p in found]


@pytest.mark.parametrize(
    ("need", "node"),
    [
        ("gpu_mem=1.5G,disk=3G", "small"),
        ("gpu_mem=8G", "small"),
        ("gpu_mem=9G", "middle"),
        ("gpu_mem=1.5G,disk=50G", "middle"),
        ("gpu_mem=25G", "large"),
        ("gpu_mem=1.5G,disk=500G", "large"),
        ("disk=3G", "bare"),
        ("disk=20G", "small"),
        ("mem=65G", None),
        ("gpu_mem=90G,disk=3G", None),
        ("gpu_mem=1.5G,disk=2T", None),
    ],
)
def test_the_fitting_node_with_the_least_to_spare_is_taken(need: str, node: str | None) -> None:
    told = Story()
    box(told, "large", 80, 80, disk=1000)
    box(told, "middle", 24, disk=100)
    box(told, "small", 8, disk=30)
    box(told, "bare", disk=10)
    found = taken(told, need)
    assert (found and found[0][0]) == node
    assert (impossible(parse_need(need), (), told.world) is None) == (node is not None)


def test_memory_of_devices_counts_before_how_many_stay_idle() -> None:
    told = Story()
    box(told, "one", 80)
    box(told, "four", 8, 8, 8, 8)
    assert taken(told, "gpu_mem=6G") == [("four", ("four#0",))]
    assert taken(told, "cpu=1") == [("one", ())]


def test_of_what_was_asked_for_the_least_stays_unused() -> None:
    told = Story()
    box(told, "narrow", disk=900, cpu=2.0)
    box(told, "tight", disk=10, cpu=64.0)
    assert taken(told, "disk=3G") == [("tight", ())]
    assert taken(told, "cpu=1") == [("narrow", ())]


def test_the_smallest_device_that_is_enough_is_given() -> None:
    told = Story()
    box(told, "mixed", 80, 24, 8)
    assert taken(told, "gpu_mem=6G") == [("mixed", ("mixed#2",))]
    assert taken(told, "gpu_mem=20G") == [("mixed", ("mixed#1",))]
    assert taken(told, "gpu_mem=20G", parse("[2:gpu]")) == [("mixed", ("mixed#0", "mixed#1"))]
    assert taken(told, "gpu_mem=20G", parse("[3:gpu]")) is None


def test_what_strangers_use_is_not_free_seen_or_not() -> None:
    told = Story()
    box(told, "seen", 80, d0=Device("s", "gpu1", 0, 80 * G, busy="ana 77 python", taken_bytes=1 * G))
    assert taken(told, "gpu_mem=1G") is None
    assert impossible(parse_need("gpu_mem=1G"), (), told.world) is None
    box(told, "unseen", 80, d0=Device("u", "gpu1", 0, 80 * G, taken_bytes=60 * G))
    assert taken(told, "gpu_mem=20G") == [("unseen", ("u",))]
    assert taken(told, "gpu_mem=21G") is None
    assert impossible(parse_need("gpu_mem=21G"), (), told.world) is None


@pytest.mark.parametrize(("size_mib", "used_mib", "fits"), [(81559, 4, True), (80000, 0, False), (81920, 600, True)])
def test_a_card_that_is_sold_as_80g_has_80g(size_mib: int, used_mib: int, fits: bool) -> None:
    told = Story()
    box(told, "h", 80, d0=Device("h", "h100", 0, size_mib << 20, taken_bytes=used_mib << 20))
    assert (taken(told, "gpu_mem=80G") is not None) == fits


def test_a_device_whose_memory_nobody_knows_is_not_counted_on() -> None:
    told = Story()
    box(told, "declared")
    told.tell(ev.NodeSet(NodeName("declared"), declared=(("gtx1070", 2),)))
    assert taken(told, "gpu_mem=1G") is None
    assert taken(told, "gtx1070") is not None


def fleet() -> Story:
    told = Story()
    box(told, "box1", 80, d0=Device("b", "a100", 0, 80 * G, busy="eve 7002 run", taken_bytes=70 * G))
    box(told, "box2", 8, disk=2)
    box(told, "box3", 24)
    told.tell(ev.NodeObserved(NodeName("box3"), Health.UNREACHABLE, detail="gone"))
    box(told, "box4")
    box(told, "box5", 24)
    return told


def test_each_node_says_why_it_was_not_taken() -> None:
    told = fleet()
    found = verdicts(parse_need("gpu_mem=1.5G,disk=3G"), (), told.world, told.now + 7)
    assert {str(v.node): v.why for v in found} == {
        "box1": "has no gpu now (eve 7002 run on a100 0)",
        "box2": "has no 3G free disk (2G there)",
        "box3": "is unreachable",
        "box4": "has no gpu (no devices)",
        "box5": "",
    }
    assert [v.age_s for v in found if v.fits] == [7.0]
    line = passed_over(found, [NodeName("box5")])
    assert line.startswith("box1 has no gpu now (eve 7002 run on a100 0); box2 ")
    assert "box5" not in line
    assert passed_over(found, []).endswith("; 1 more")
    assert passed_over(found[4:], []) == "box5 has more to spare"


def test_the_table_of_a_refusal_has_a_line_for_each_node() -> None:
    told = fleet()
    request = parse_need("gpu_mem=100G")
    error = impossible(request, (), told.world)
    assert error is not None
    shown = table(error, verdicts(request, (), told.world, told.now + 3))
    assert isinstance(shown, NothingFits)
    assert shown.why.splitlines()[1] == "box2  has no gpu with 100G free (the largest has 8G); asked 3 s ago"
    assert len(shown.why.splitlines()) == 5


def test_only_amounts_are_needs() -> None:
    assert needs(parse("[gpu_mem=1G]"))
    assert needs(parse("[disk=1G]"))
    assert not needs(parse("[2:a100,cpu=4]"))
