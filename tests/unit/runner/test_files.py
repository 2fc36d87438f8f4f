"""Files that come with a job arrive in pieces, whole or not at all, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from afield.runner.files import take_attached


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "1.1" / "call"
    take_attached(str(folder), {"name": "function", "offset": 0, "last": False}, b"abc")
    assert [path.name for path in folder.iterdir()] == [".function.part"]
    take_attached(str(folder), {"name": "function", "offset": 3, "last": True, "total": 5}, b"de")
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("function", b"abcde")]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_send_that_broke_off_begins_again(tmp_path: Path) -> None:
    take_attached(str(tmp_path), {"name": "a", "offset": 0}, b"xxxx")
    take_attached(str(tmp_path), {"name": "a", "offset": 0, "last": True, "total": 1}, b"y")
    take_attached(str(tmp_path), {"name": "a", "offset": 0, "last": True, "total": 0}, b"")
    assert (tmp_path / "a").read_bytes() == b""


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".", "..", ".hidden", "a\0b"])
def test_a_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        take_attached(str(tmp_path / "call"), {"name": name, "offset": 0, "last": True, "total": 0}, b"")
    assert not (tmp_path / "call").exists()


def test_pieces_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    take_attached(str(tmp_path), {"name": "a", "offset": 0}, b"abc")
    with pytest.raises(ValueError, match="piece at 7, but 3 bytes are here"):
        take_attached(str(tmp_path), {"name": "a", "offset": 7}, b"d")
    with pytest.raises(ValueError, match="has 4 bytes, not 9"):
        take_attached(str(tmp_path), {"name": "a", "offset": 3, "last": True, "total": 9}, b"d")
    assert not (tmp_path / "a").exists()
