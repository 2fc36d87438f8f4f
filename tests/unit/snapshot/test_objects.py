"""The shadow repository is one that git itself can read."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import pytest

from afield.errors import AfieldError
from afield.runner import gittree
from afield.snapshot import writing
from afield.snapshot.objects import Objects
from afield.snapshot.writing import Loose, Pack

CONTENTS = [b"", b"short", b"text " * 10_000, os.urandom(3000), os.urandom(100) * 1000]


def fsck(objects: Objects) -> None:
    subprocess.run(["git", "--git-dir", objects.path, "fsck", "--full", "--strict"], check=True, capture_output=True)


@pytest.mark.parametrize("kind", [Loose, Pack])
@pytest.mark.parametrize("large", [False, True])
def test_what_is_written_can_be_read_here_and_by_git(tmp_path: Path, kind: type[Loose | Pack], large: bool) -> None:
    objects = Objects(tmp_path, "w")
    writer = kind(objects)
    names = [gittree.name_of(b"blob", data) for data in CONTENTS]
    for name, data in zip(names, CONTENTS, strict=True):
        if large:
            writer.add_large(b"blob", name, len(data), (data[i : i + 999] for i in range(0, len(data), 999)))
        else:
            writer.add(b"blob", name, data)
    assert not any(objects.has(name) for name in names)
    writer.close()
    fsck(objects)
    again = Objects(tmp_path, "w")
    assert again.names() == set(names)
    for name, data in zip(names, CONTENTS, strict=True):
        assert again.content(name) == data
        size, length, pieces = again.packed(name)
        stream = b"".join(pieces)
        assert (size, length, zlib.decompress(stream)) == (len(data), len(stream), data)


def test_a_very_large_take_makes_several_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PACK_LIMIT", 2000)
    objects = Objects(tmp_path, "w")
    writer = Pack(objects)
    contents = [os.urandom(900) for _ in range(10)]
    for data in contents:
        writer.add(b"blob", gittree.name_of(b"blob", data), data)
    writer.close()
    fsck(objects)
    assert len(list(Path(objects.path).glob("objects/pack/*.pack"))) > 2
    assert [objects.content(gittree.name_of(b"blob", data)) for data in contents] == contents


@pytest.mark.parametrize("kind", [Loose, Pack])
def test_what_is_abandoned_leaves_nothing(tmp_path: Path, kind: type[Loose | Pack]) -> None:
    objects = Objects(tmp_path, "w")
    writer = kind(objects)
    writer.add(b"blob", gittree.name_of(b"blob", b"x"), b"x")
    writer.abandon()
    assert [p for p in Path(objects.path, "objects").rglob("*") if p.is_file()] == []


def test_a_damaged_object_is_told_from_a_missing_one(tmp_path: Path) -> None:
    objects = Objects(tmp_path, "w")
    name = gittree.name_of(b"blob", b"x" * 1000)
    with pytest.raises(AfieldError) as caught:
        objects.content(name)
    assert caught.value.code == "snapshot-missing"
    writer = Loose(objects)
    writer.add(b"blob", name, b"x" * 1000)
    writer.close()
    Path(objects.loose(name)).write_bytes(b"nonsense")
    with pytest.raises(AfieldError) as caught:
        objects.content(name)
    assert caught.value.code == "snapshot-damaged"
