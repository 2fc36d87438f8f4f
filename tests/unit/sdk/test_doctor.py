"""What doctor makes of what a node says, by tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afield.sdk.doctor import store, version
from afield.sdk.doctor_nodes import node
from afield.sdk.repairs import QUESTIONS, question

G = 1 << 30


def view(**more: Any) -> dict[str, Any]:
    probe = {
        "error": None,
        "took_s": 0.1,
        "skew_s": 0.0,
        "internet": "yes",
        "disk_bytes": 500 * G,
        "disk_free_bytes": 100 * G,
        "uv": "0.13.0",
        "devices_error": "",
    }
    facts = {"python": "3.11.2", "root": "/home/me/.afield", "fs": "local", "runroot": "/var/tmp/afield-1"}
    base = {"name": "box1", "facts": facts, "devices": [], "jobs": [], "drained": False, "probe": probe}
    for key, value in more.items():
        where, _, inner = key.partition("__")
        if inner:
            base[where] = {**base[where], inner: value}  # type: ignore[dict-item]
        else:
            base[where] = value
    return base


def device(**more: Any) -> dict[str, Any]:
    found = {
        "id": "GPU-1",
        "model": "a100",
        "index": 0,
        "memory_bytes": 80 * G,
        "taken_bytes": 0,
        "busy": "",
        "job": None,
    }
    return {**found, **more}


def test_a_good_node_has_nothing_to_mend() -> None:
    found = list(node(view(devices=[device()]), {"bytes": 5 * G, "runs": 3}))
    assert {c.state for c in found} == {"ok"}
    assert not any(c.fix or c.repair for c in found)
    assert any("afield keeps 5G there, 3 run folders" in c.text for c in found)


@pytest.mark.parametrize(
    ("more", "there", "state", "text"),
    [
        ({"facts__python": "3.6.8"}, {}, "bad", "Python 3.6.8"),
        ({"facts__fs": "network"}, {}, "ok", "on a network file system: what runs is kept in /var/tmp/afield-1"),
        ({"facts__fs": "network", "facts__root_fs": "nfs4"}, {}, "ok", "its home is on nfs4: what runs"),
        ({"facts__fs": "network", "facts__root_fs": "nfs", "facts__run_fs": "lustre"}, {}, "bad", "locks do not hold"),
        ({"facts__linger": "False", "facts__systemd_user": "True"}, {}, "warn", "login manager"),
        ({"probe__skew_s": 90.0}, {}, "warn", "1m30s fast"),
        ({"probe__skew_s": -3.0}, {}, "warn", "3s slow"),
        ({"probe__disk_free_bytes": G}, {}, "warn", "1G of 500G disk free"),
        ({"probe__internet": "no"}, {}, "ok", "builds go through this machine"),
        ({"probe__devices_error": "driver mismatch"}, {}, "bad", "driver mismatch"),
        ({"devices": [device(busy="eve 7 run")]}, {}, "warn", "a100 0 is used by eve 7 run"),
        ({"devices": [device(taken_bytes=30 * G)]}, {}, "warn", "30G of a100 0 are in use"),
        ({"drained": True}, {}, "warn", "drained"),
        ({"jobs": [4]}, {"live": ["4.1", "3.2"]}, "warn", "attempts 3.2 run there"),
        ({}, {"waiting": ["5.1"]}, "ok", "5.1 is still on its way home"),
        ({}, {"closed": ["/h/.afield"]}, "bad", "/h/.afield cannot be written: no job can start"),
        ({}, {"others": ["ab"]}, "ok", "other stores of this account keep things there: 1"),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, Any], there: dict[str, Any], state: str, text: str) -> None:
    found = [c for c in node(view(**more), there) if text in c.text]
    assert [c.state for c in found] == [state]


def test_a_home_on_a_network_says_what_to_do() -> None:
    found = [c for c in node(view(facts__fs="network", facts__root_fs="nfs4", facts__run_fs=""), {}) if c.fix]
    assert [c.fix for c in found] == [
        "keep /var/tmp/afield-1 out of what is cleaned by age; let programs write much data to a disk of box1"
    ]


def test_a_state_folder_on_a_network_is_told_with_where_the_store_is(tmp_path: Path) -> None:
    mounts = f"filer:/home {tmp_path} nfs4 rw 0 0\ntmpfs {tmp_path}/local tmpfs rw 0 0\n"
    check = store(str(tmp_path / "state"), mounts)
    assert check.state == "warn"
    assert "is on nfs4, where locks do not hold: the store is below /var/tmp/afield-" in check.text
    assert "AFIELD_STATE_DIR" in check.fix
    assert "free for the store" in store(str(tmp_path / "local" / "state"), mounts).text


def test_a_full_disk_offers_the_repair_that_gives_room() -> None:
    found = next(c for c in node(view(probe__disk_free_bytes=G), {"bytes": G, "runs": 1}) if c.repair)
    assert (found.repair, found.fix) == ("clean:box1", "afield node clean box1")
    assert "box1" in question(found.repair)


def test_a_silent_node_is_one_line_with_the_reason() -> None:
    error = {"what": "box1 cannot be reached", "why": "refused", "hints": ["ssh box1 true"]}
    found = list(node(view(probe__error=error), {}))
    assert [(c.state, c.text, c.fix) for c in found] == [("bad", "box1 cannot be reached: refused", "ssh box1 true")]


def test_every_repair_has_its_question() -> None:
    assert all(question(f"{name}:x") for name in QUESTIONS)


def test_a_program_that_is_not_there_has_no_version() -> None:
    assert version(["no-such-program-here", "--version"]) == ""
    assert version(["sh", "-c", "echo thing 1.2 of today"]).startswith("thing 1.2 of: ")
