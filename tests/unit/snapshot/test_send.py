"""From the shadow repository to a node's folder over a link; the node's side is the real one, without the wire."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from afield.errors import AfieldError, from_dict
from afield.runner import tree
from afield.runner.area import Area
from afield.runner.refusal import trouble
from afield.snapshot import send as send_module
from afield.snapshot.send import delta, holding, send
from afield.snapshot.take import Snapshot, take
from tests.unit.snapshot.folders import contents, put, staged


class Node:
    """A link to a store's folder on this machine; errors come as they would over the wire."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.heads: list[dict[str, Any]] = []
        self.third = asyncio.Event()

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        assert do == "tree.apply"
        self.heads.append(fields)
        if len(self.heads) == 3:
            self.third.set()
        try:
            reply = tree.apply_piece(str(self.store), fields, data)
        except Exception as error:  # noqa: BLE001 whatever it is, the link makes it an answer
            raise from_dict({"exit": 1, **trouble(error)["error"]}) from None
        await asyncio.sleep(0)
        return reply, b""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "project", "a/b/c.py", b"print()\n")
    put(tmp_path / "project", "noise", os.urandom(2_000_000))
    return tmp_path / "project"


def snap(root: Path) -> Snapshot:
    return take(root, cache=root.parent / "cache")


def bring(node: Node, snapshot: Snapshot, have: str | None) -> None:
    asyncio.run(send(node, node.store.parent / "cache", snapshot.workspace, snapshot.tree, have))


def test_first_send_and_then_the_difference(root: Path) -> None:
    node = Node(root.parent / "node")
    first = snap(root)
    bring(node, first, None)
    assert [head["seq"] for head in node.heads] == list(range(4))
    assert contents(staged(node.store, first, "1.1")) == contents(root)
    put(root, "a/b/c.py", b"print(2)\n")
    second = snap(root)
    stream = b"".join(delta(root.parent / "cache", second.workspace, first.tree, second.tree))
    assert len(stream) < 100
    bring(node, second, first.tree)
    assert contents(staged(node.store, second, "2.1")) == contents(root)


def test_a_delta_is_made_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = snap(root)
    put(root, "a/b/c.py", b"print(2)\n")
    second = snap(root)
    cache = root.parent / "cache"
    made = list(delta(cache, first.workspace, first.tree, second.tree))
    shutil.rmtree(cache)
    assert list(delta(cache, first.workspace, first.tree, second.tree)) == made


def test_nothing_to_do_is_said_in_one_piece(root: Path) -> None:
    node = Node(root.parent / "node")
    snapshot = snap(root)
    bring(node, snapshot, None)
    node.heads.clear()
    bring(node, snapshot, None)
    assert len(node.heads) == 1


@pytest.mark.parametrize("told", ["0" * 40, None])
def test_a_wrong_belief_about_the_node_is_mended(root: Path, told: str | None) -> None:
    node = Node(root.parent / "node")
    first = snap(root)
    bring(node, first, told)
    put(root, "a/b/c.py", b"2")
    second = snap(root)
    put(root, "a/b/c.py", b"3")
    third = snap(root)
    bring(node, third, second.tree)
    assert contents(staged(node.store, third, "1.1")) == contents(root)


def test_a_base_that_the_cache_has_lost_means_all_of_it(root: Path) -> None:
    node = Node(root.parent / "node")
    first = snap(root)
    bring(node, first, None)
    shutil.rmtree(root.parent / "cache")
    put(root, "a/b/c.py", b"2")
    second = snap(root)
    bring(node, second, first.tree)
    assert contents(staged(node.store, second, "1.1")) == contents(root)


def test_a_snapshot_that_the_cache_has_lost_is_an_error(root: Path) -> None:
    snapshot = snap(root)
    shutil.rmtree(root.parent / "cache")
    with pytest.raises(AfieldError) as caught:
        bring(Node(root.parent / "node"), snapshot, None)
    assert caught.value.code == "snapshot-missing"


def test_sends_at_the_same_time_do_not_mix(root: Path) -> None:
    node = Node(root.parent / "node")
    first = snap(root)
    put(root, "noise", os.urandom(2_000_000))
    second = snap(root)

    async def both() -> None:
        cache = root.parent / "cache"
        jobs = [send(node, cache, s.workspace, s.tree, None) for s in (first, second, first, second)]
        await asyncio.gather(*jobs)

    asyncio.run(both())
    assert contents(staged(node.store, second, "1.1")) == contents(root)


def test_what_is_held_stays_until_it_was_used(root: Path) -> None:
    node = Node(root.parent / "node")
    cache = root.parent / "cache"
    first = snap(root)
    put(root, "a/b/c.py", b"2")
    second = snap(root)

    async def use(snapshot: Snapshot, name: str) -> None:
        async with holding(node, cache, snapshot.workspace, snapshot.tree, None):
            await asyncio.sleep(0)
            staged(node.store, snapshot, name)

    async def all_of_them() -> None:
        await asyncio.gather(*(use((first, second)[i % 2], f"{i}.1") for i in range(8)))

    asyncio.run(all_of_them())
    assert len({(node.store / "jobs" / f"{i}.1" / "src" / "a/b/c.py").read_bytes() for i in range(8)}) == 2


def test_a_busy_node_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_module, "BUSY_S", 0.001)
    node = Node(root.parent / "node")
    snapshot = snap(root)
    lock = Area(str(node.store), snapshot.workspace).lock()

    async def later() -> None:
        sending = asyncio.create_task(send(node, root.parent / "cache", snapshot.workspace, snapshot.tree, None))
        await node.third.wait()
        lock.release()
        await sending

    with lock:
        asyncio.run(later())
    assert contents(staged(node.store, snapshot, "1.1")) == contents(root)
