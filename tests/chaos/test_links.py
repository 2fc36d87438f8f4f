"""Connections that fail in every way, at every byte: the job neither fails nor starts twice, and no byte is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from afield.testing.proxy import Proxy
from afield.testing.waiting import wait_until
from tests.chaos.far import Far, Talk, far_away
from tests.chaos.kit import SEED, report

CUTS = int(os.environ.get("AFIELD_CUTS", "40"))
LOG_BYTES = int(os.environ.get("AFIELD_LOG_BYTES", str(12 << 20)))
# Where only our bytes are held back, those of the node still come: then it is the node that gives up, after 90 s.
SILENT = {"blackhole", "reset", "towards server only"}
FAULTS: dict[str, Callable[[Proxy], None]] = {
    "blackhole": Proxy.blackhole,
    "reset": Proxy.reset,
    "towards client only": lambda proxy: proxy.one_way("client"),
    "towards server only": lambda proxy: proxy.one_way("server"),
    "half open": Proxy.half_open,
    "cut": lambda proxy: proxy.cut_after(500),
    "throttle": lambda proxy: proxy.throttle(3000),
    "delay": lambda proxy: proxy.delay(1.5),
}

pytestmark = [pytest.mark.usefixtures("needs_sshd"), pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    with far_away(len(FAULTS)) as made:
        yield made


def test_cuts_at_any_byte_of_a_launch(far: Far) -> None:
    """The connection is reset after byte k of what a launch, its output, its end and their acknowledgement say."""
    dice = random.Random(SEED)
    most = _conversation(far)
    cut, fired = 0, 0
    wrong: list[str] = []
    while cut < CUTS and not wrong:
        batch = list(far.proxies.items())[: CUTS - cut]
        due = {}
        for name, proxy in batch:
            towards = dice.choice(["client", "server"])
            due[name] = towards, proxy.passed(), dice.randrange(most[towards])
            proxy.cut_after(due[name][2], towards=towards)
        codes = {name: dice.randrange(256) for name, _ in batch}
        talks = [far.talk(name, Talk(str(dice.random()), 20_000), codes[name]) for name, _ in batch]
        numbers = [view["number"] for view in far.client.submit(talks)]
        for (name, proxy), number in zip(batch, numbers, strict=True):
            wrong += [f"{due[name]}: {fault}" for fault in far.faults(far.end(number), name, codes[name])]
            towards, before, count = due[name]
            index = ("client", "server").index(towards)
            fired += proxy.passed()[index] - before[index] >= count
            proxy.forward()
        cut += len(batch)
    report("link_cuts", cut, len(wrong), fired=fired)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])
    assert fired > cut // 2, "most cuts came too late to cut anything"


def _conversation(far: Far) -> dict[str, int]:
    """How many bytes a whole job takes in each direction."""
    name, proxy = next(iter(far.proxies.items()))
    before = proxy.passed()
    number = far.client.submit([far.talk(name, Talk("0", 20_000), 3)])[0]["number"]
    assert list(far.faults(far.end(number), name, 3)) == []
    after = proxy.passed()
    return {"client": after[0] - before[0], "server": after[1] - before[1]}


def test_a_log_that_is_cut_again_and_again_is_whole(far: Far) -> None:
    dice = random.Random(SEED)
    name, proxy = next(iter(far.proxies.items()))
    number = far.client.submit([far.talk(name, Talk(str(SEED), LOG_BYTES, step=1 << 20), 9)])[0]["number"]
    cuts = 0
    while far.client.job(number)["outcome"] is None or _held(far, number) < LOG_BYTES:
        cuts += 1
        count = dice.randrange(LOG_BYTES // 3)
        due = proxy.passed()[0] + count
        proxy.cut_after(count)
        _until_passed(far, proxy, due, number)
    proxy.forward()
    wrong = list(far.faults(far.end(number), name, 9))
    report("log_cuts", cuts, len(wrong), bytes=LOG_BYTES)
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])
    assert cuts > 1


def _until_passed(far: Far, proxy: Proxy, due: int, number: int) -> None:
    wait_until(lambda: proxy.passed()[0] >= due or _held(far, number) >= LOG_BYTES, within_s=300)


def _held(far: Far, number: int) -> int:
    return sum(path.stat().st_size for path in far.sandbox.state.glob(f"**/{number}.*/p0.out"))


def test_a_faulty_network_is_no_news_of_a_job(far: Far) -> None:
    """Every fault at once, each before a host of its own, while jobs print; afterwards they are caught up with."""
    gate = far.notes / "gate"
    plan = dict(zip(far.proxies, FAULTS, strict=True))
    talks = [far.talk(name, Talk(fault, 4096, 256, 0.1, gate), 5) for name, fault in plan.items()]
    numbers = dict(zip(plan, (view["number"] for view in far.client.submit(talks)), strict=True))
    wait_until(lambda: all(_held(far, number) > 512 for number in numbers.values()), show=far.sandbox.story)
    for name, fault in plan.items():
        FAULTS[fault](far.proxies[name])
    cut_off = {name for name, fault in plan.items() if fault in SILENT}
    seen: set[str] = set()

    def all_seen() -> bool:
        phases = {plan[name]: far.client.job(number)["phase"] for name, number in numbers.items()}
        assert set(phases.values()) == {"running"}, phases
        seen.update(name for name, health in far.health().items() if health == "unreachable")
        return cut_off <= seen

    wait_until(all_seen, within_s=90, every_s=0.25, show=far.health)
    gate.touch()
    for proxy in far.proxies.values():
        proxy.forward()
    wrong = []
    for name, number in numbers.items():
        wrong += [f"{plan[name]}: {fault}" for fault in far.faults(far.end(number), name, 5)]
    report("network_faults", len(FAULTS), len(wrong), seen_as_unreachable=len(seen))
    assert not wrong, "\n".join(wrong)
    assert not {plan[name] for name in seen} & {"throttle", "delay"}, "slow is not unreachable"
