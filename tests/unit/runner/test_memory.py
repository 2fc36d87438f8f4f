"""Which counter of kills for want of memory is nearest, and what two looks at it mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from afield.runner import memory

V2 = {"/proc/self/cgroup": "0::/user.slice/a.scope\n"}
V1 = {"/proc/self/cgroup": "5:devices:/\n4:cpu,memory:/box/a\n0::/\n"}
EVENTS = "/sys/fs/cgroup/user.slice/a.scope/memory.events"
CONTROL = "/sys/fs/cgroup/memory/box/a/memory.oom_control"


def told(generator: Any, files: Mapping[str, str]) -> Any:
    """What a generator gives where only these files exist."""
    answer = None
    try:
        while True:
            effect = generator.send(answer)
            answer = files[effect.path].encode() if effect.path in files else None
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**V2, EVENTS: "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"}, {"of": "group", "count": 2}),
        ({**V1, CONTROL: "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"}, {"of": "group", "count": 7}),
        ({**V1, CONTROL: "oom_kill_disable 0\n", "/proc/vmstat": "oom_kill 4\n"}, {"of": "node", "count": 4}),
        ({"/proc/vmstat": "nr_free_pages 9\noom_kill 4\n"}, {"of": "node", "count": 4}),
        ({**V2, "/proc/vmstat": "nr_free_pages 9\n"}, None),
        ({}, None),
    ],
)
def test_the_nearest_counter(files: dict[str, str], expected: dict[str, Any] | None) -> None:
    assert told(memory.kills(), files) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({"of": "group", "count": 5}, {"of": "group", "count": 2}),
        ({"of": "group", "count": 7}, {"of": "group", "count": 0}),
        ({"of": "group", "count": 9}, None),
        ({"of": "node", "count": 5}, None),
        (None, None),
    ],
)
def test_only_looks_at_the_same_counter_are_compared(before: Any, expected: Any) -> None:
    assert told(memory.since(before), {**V1, CONTROL: "oom_kill 7\n"}) == expected
