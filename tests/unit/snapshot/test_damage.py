"""A damaged delta on a node: it is refused, or what it makes is exactly what was wanted; no attempt sees any of it."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afield.runner import delta as wire
from afield.runner import gittree, tree
from afield.runner.area import PRISTINE, Area, TreeError
from afield.snapshot.send import delta
from afield.snapshot.take import Snapshot, take
from tests.unit.snapshot.folders import apply, contents, put, staged

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
Contents = dict[bytes, tuple[str, bytes]]


class Two(NamedTuple):
    """A tree that a node holds, the next one, and the stream between them."""

    place: Path
    first: Snapshot
    second: Snapshot
    before: Contents
    after: Contents
    stream: bytes


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        place = Path(name)
        root, cache, node = place / "project", place / "cache", place / "held"
        put(root, "same/a", b"a" * 40)
        put(root, "goes/b", b"b\n")
        put(root, b"\xff", b"old\n")
        put(root, "runs", b"#!\n")
        os.symlink("same/a", root / "link")
        first, before = take(root, cache=cache), contents(root)
        apply(node, cache, first)
        shutil.rmtree(root / "goes")
        put(root, b"\xff", b"new\n")
        put(root, "runs", b"#!\n", 0o755)
        put(root, "came/c", b"c" * 30)
        os.unlink(root / "link")
        os.symlink("came/c", root / "link")
        second = take(root, cache=cache)
        stream = b"".join(delta(cache, first.workspace, first.tree, second.tree))
        yield Two(place, first, second, before, contents(root), stream)


def receive(store: Path, two: Two, stream: bytes) -> str:
    """What came of a stream: "" when the node says that it has what was wanted, else the refusal."""
    head = {"workspace": two.first.workspace, "base": two.first.tree, "want": two.second.tree, "seq": 0, "last": True}
    try:
        assert tree.apply_piece(str(store), head, stream) == {"have": two.second.tree}
    except (TreeError, wire.DeltaError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check(two: Two, stream: bytes, what: str) -> str:
    """A node with the first tree gets a stream; the refusal."""
    store = two.place / "node"
    shutil.copytree(two.place / "held", store, symlinks=True)
    try:
        early = staged(store, two.first, "1.1")
        refusal = receive(store, two, stream)
        assert contents(early) == two.before, f"{what}: a job's files changed"
        held = Area(str(store), two.first.workspace).held(PRISTINE)
        assert held is None if refusal else held.tree.hash == two.second.tree, what
        apply(store, two.place / "cache", two.second)
        assert contents(staged(store, two.second, "2.1")) == two.after, what
    finally:
        shutil.rmtree(store)
    return refusal


def test_the_stream_as_it_was_made_is_taken(two: Two) -> None:
    assert check(two, two.stream, "whole") == ""


def test_a_stream_cut_at_any_byte_is_refused_and_the_next_send_mends_it(two: Two) -> None:
    for cut in range(len(two.stream)):
        assert check(two, two.stream[:cut], f"cut at {cut}"), cut


@pytest.mark.parametrize("bits", [0x01, 0xFF])
def test_a_wrong_byte_anywhere_is_refused_or_does_not_matter(two: Two, bits: int) -> None:
    unseen = []
    for at in range(len(two.stream)):
        broken = bytearray(two.stream)
        broken[at] ^= bits
        if not check(two, bytes(broken), f"byte {at}"):
            unseen.append(at)
    # Only bits of a packed content that carry nothing (a checksum's spare, a level) may be wrong unnoticed.
    assert len(unseen) < len(two.stream) // 20, unseen


NAMES = st.sampled_from([b"same/a", b"goes/b", b"link", b"link/a", b"runs", b"same", b"new", b"new/d", b"goes/b/c"])
ODD = st.one_of(
    st.tuples(st.sampled_from([wire.REMOVE, wire.PLAIN, wire.RUNNABLE]), NAMES, st.just(b"")),
    st.tuples(st.sampled_from([wire.FILE, wire.PROGRAM]), NAMES, st.binary(max_size=3)),
    st.tuples(st.just(wire.LINK), NAMES, st.sampled_from([b"same", b"runs", b"..", b"/etc", b"same/a"])),
)


def packed(kind: int, path: bytes, content: bytes) -> bytes:
    head = struct.pack(">BI", kind, len(path)) + path
    if kind not in (wire.FILE, wire.PROGRAM, wire.LINK):
        return head
    body = zlib.compress(content)
    return head + struct.pack(">QQ", len(content), len(body)) + body


def hash_of(found: Contents) -> str:
    """The tree's name, from the files as they lie on the disk."""
    modes = {"file": gittree.FILE, "program": gittree.PROGRAM, "link": gittree.LINK}
    made = gittree.Tree()
    made.update({path: (modes[kind], gittree.name_of(b"blob", data)) for path, (kind, data) in found.items()})
    return str(made.hash)


def taken(two: Two, stream: bytes, want: str) -> tuple[str, str]:
    """What a fresh node made of a stream: the hash of what lies there (or ""), and why it was refused (or "")."""
    store = two.place / "odd"
    shutil.copytree(two.place / "held", store, symlinks=True)
    head = {"workspace": two.first.workspace, "base": two.first.tree, "want": want, "seq": 0, "last": True}
    try:
        tree.apply_piece(str(store), head, stream)
        return hash_of(contents(os.fsdecode(Area(str(store), two.first.workspace).place(PRISTINE)))), ""
    except (TreeError, wire.DeltaError, OSError) as error:
        return "", str(getattr(error, "why", "")) or str(error)
    finally:
        shutil.rmtree(store)


@settings(max_examples=200)
@given(records=st.lists(ODD, max_size=4))
@example(records=[(wire.FILE, b"runs", b"x"), (wire.RUNNABLE, b"runs", b"")])
@example(records=[(wire.LINK, b"runs", b"same"), (wire.RUNNABLE, b"runs", b"")])
@example(records=[(wire.LINK, b"new", b"same"), (wire.REMOVE, b"new/a", b"")])
@example(records=[(wire.REMOVE, b"goes/b", b""), (wire.LINK, b"goes", b"same"), (wire.FILE, b"goes/a", b"x")])
def test_a_stream_that_is_taken_left_on_the_disk_what_its_hash_says(
    two: Two, records: list[tuple[int, bytes, bytes]]
) -> None:
    stream = b"".join(packed(*each) for each in records)
    _, refusal = taken(two, stream, "0" * 40)
    before, _, told = refusal.rpartition(" ")
    if before == "it has the hash":
        lies, refusal = taken(two, stream, told)
        assert told == two.first.tree or (lies, refusal) == (told, "")
