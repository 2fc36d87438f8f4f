"""Rows of the tables of nodes: as many cells as heads, who uses what, and why a node says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from afield.cli.verbs.node_ls import HEADS, PROBED, node_row, probed_rows

G = 1 << 30
GOOD = {
    "error": None,
    "skew_s": 0.01,
    "internet": "no",
    "memory_free_bytes": 8 * G,
    "disk_bytes": 100 * G,
    "disk_free_bytes": 50 * G,
    "load": 0.26,
    "uv": "",
    "devices_error": "",
}


def device(**more: Any) -> dict[str, Any]:
    found = {"model": "a100", "index": 1, "memory_bytes": 80 * G, "used_bytes": 30 * G, "taken_bytes": 0}
    return {**found, "busy": "", "job": None, **more}


def view(*devices: dict[str, Any], probe: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    base = {"name": "box1", "health": "ready", "cpu": 8.0, "memory_bytes": 16 * G, "jobs": [], "seen_at": None}
    return {**base, "asked_at": None, "devices": list(devices), "probe": {**GOOD, **(probe or {})}, **more}


def test_every_row_has_a_cell_for_each_head() -> None:
    assert len(node_row(view(device()))) == len(HEADS)
    assert len(node_row(view(seen_at="2026-01-01T00:00:00Z"))) == len(HEADS)
    for node in (view(device(), device(job=3)), view(probe={"error": {"what": "w", "why": "", "hints": []}})):
        assert {len(row) for row in probed_rows(node)} == {len(PROBED)}


@pytest.mark.parametrize(
    ("more", "state", "free", "note"),
    [
        ({}, "free", "50G of 80G", "-"),
        ({"job": 12}, "job 12", "50G of 80G", "-"),
        ({"busy": "eve 7 run"}, "in use: eve 7 run", "50G of 80G", "-"),
        ({"taken_bytes": 30 * G}, "free", "50G of 80G", "30G in use by what cannot be seen"),
        ({"taken_bytes": 1 * G, "used_bytes": 1 * G}, "free", "79G of 80G", "-"),
        ({"memory_bytes": 0, "used_bytes": None}, "free", "-", "-"),
    ],
)
def test_a_device_says_who_uses_it(more: dict[str, Any], state: str, free: str, note: str) -> None:
    row = probed_rows(view(device(**more)))[1]
    assert (row[1], row[2], row[3], row[-1]) == (state, "a100 1", free, note)


def test_a_node_that_was_asked() -> None:
    row = probed_rows(view(jobs=[4, 5]))[0]
    assert row == [
        "box1",
        "ready",
        "8 cores",
        "8G of 16G",
        "50G of 100G",
        "0.3",
        "none",
        "no",
        "right",
        "runs jobs 4,5",
    ]
    assert probed_rows(view(probe={"skew_s": -75.0}))[0][8] == "1 m 15 s slow"


def test_a_node_that_does_not_answer_says_why() -> None:
    error = {"what": "box1 cannot be reached", "why": "it refused\n the connection", "hints": []}
    (row,) = probed_rows(view(probe={"error": error}))
    assert (row[1], row[-1]) == ("unreachable", "it refused the connection")
    (row,) = probed_rows(view(health="needs_login", probe={"error": error}))
    assert row[1] == "needs_login"
