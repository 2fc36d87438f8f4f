"""Files that come with a job, kept in the shadow repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from afield.errors import NotFound
from afield.snapshot.attached import FEW, attach, read


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_what_is_attached_can_be_read_and_is_gits(tmp_path: Path, count: int) -> None:
    files = [(f"f{number}", b"same" if number % 2 else b"%d\0\xff" % number) for number in range(count)]
    given = attach(tmp_path, "w", files)
    for again in (given, attach(tmp_path, "w", files)):
        assert [(file.name, file.size) for file in again] == [(name, len(data)) for name, data in files]
        assert [read(tmp_path, "w", file.blob) for file in again] == [data for _, data in files]
    found = subprocess.run(
        ["git", "--git-dir", tmp_path / "shadow/w.git", "cat-file", "blob", given[0].blob],
        capture_output=True,
        check=True,
    )
    assert found.stdout == files[0][1]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not here") as caught:
        read(tmp_path, "w", "ab" * 20)
    assert caught.value.code == "snapshot-missing"
