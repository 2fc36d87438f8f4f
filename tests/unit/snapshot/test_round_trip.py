"""Any tree and any edits: what an attempt gets is what the user has, byte for byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afield.errors import AfieldError
from afield.runner import tree
from afield.snapshot.take import take
from tests.unit.snapshot.folders import apply, contents, put, staged

PART = st.sampled_from([b"a", b"b", b"A", b"a.b", b"a-b", b"-x", b"new\nline", b"\xff\xfe", b"n" * 255, b" "])
PATH = st.lists(PART, min_size=1, max_size=3).map(b"/".join)
CONTENT = st.one_of(st.binary(max_size=20), st.integers(0, 255).map(lambda i: bytes([i]) * 3000))
EDIT = st.one_of(
    st.tuples(st.just("file"), PATH, CONTENT),
    st.tuples(st.just("program"), PATH, CONTENT),
    st.tuples(st.just("link"), PATH, PART),
    st.tuples(st.just("mode"), PATH, st.just(b"")),
    st.tuples(st.just("remove"), PATH, st.just(b"")),
    st.tuples(st.just("move"), PATH, PATH),
)


def clear(root: Path, path: bytes) -> bytes:
    """The full path with real folders above it and nothing in its place."""
    full = os.path.join(os.fsencode(root), path)
    above = os.fsencode(root)
    for part in os.path.dirname(path).split(b"/"):
        above = os.path.join(above, part)
        if os.path.lexists(above) and (os.path.islink(above) or not os.path.isdir(above)):
            os.unlink(above)
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    elif os.path.lexists(full):
        os.unlink(full)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def edit(root: Path, kind: str, path: bytes, data: bytes) -> None:
    full = os.path.join(os.fsencode(root), path)
    if kind in ("file", "program"):
        clear(root, path)
        put(root, path, data, 0o755 if kind == "program" else 0o644)
    elif kind == "link":
        os.symlink(data, clear(root, path))
    elif kind == "mode":
        if os.path.isfile(full) and not os.path.islink(full):
            os.chmod(full, os.stat(full).st_mode ^ 0o100)
    elif kind == "remove":
        clear(root, path)
    elif os.path.lexists(full) and not data.startswith(path) and not path.startswith(data):
        os.rename(full, clear(root, data)) if os.path.lexists(full) else None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(EDIT, max_size=8), st.booleans()), min_size=1, max_size=5))
def test_every_attempt_gets_the_tree_as_it_was(rounds: list[tuple[list[tuple[str, bytes, bytes]], bool]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root, cache, store = (Path(place) / name for name in ("project", "cache", "node"))
        root.mkdir()
        base = None
        for number, (edits, again) in enumerate(rounds):
            for one in edits:
                edit(root, *one)
            before = contents(root)
            try:
                snapshot = take(root, cache=cache)
            except AfieldError as error:
                if error.code != "link-leaves":
                    raise
                return
            apply(store, cache, snapshot, base)
            base = snapshot.tree
            mine = staged(store, snapshot, f"{number}.1")
            assert contents(mine) == before
            if again:
                put(mine, b"left by a job")
                tree.refill(str(store), snapshot.workspace)
                assert contents(staged(store, snapshot, f"{number}.2")) == before
