"""How far a program says that it is, from a file that may hold anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from afield.runner import said
from afield.runner.folder import Paths


def test_a_word_of_progress() -> None:
    assert said.word(b'{"done": 2.0, "total": 4, "at": 7.5}\n') == {"done": 2.0, "total": 4, "at": 7.5}
    assert said.word(b'{"done": 2, "total": null, "at": 7, "more": 1}') == {"done": 2, "total": None, "at": 7}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"3",
        b"null",
        b"[1]",
        b"[" * 4000,
        b'{"done": NaN, "total": 1, "at": 1}',
        b'{"done": 1, "total": Infinity, "at": 1}',
        b'{"done": 1' + b"0" * 3000 + b', "total": 1, "at": 1}',
        b'{"done": true, "total": 1, "at": 1}',
        b'{"done": "1", "total": 1, "at": 1}',
        b'{"done": 1, "total": 1, "at": 1e12}',
        b'{"done": 1, "total": 1}',
    ],
)
def test_anything_else_is_nothing_said(data: bytes) -> None:
    assert said.word(data) is None


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    paths = Paths("st", str(tmp_path), str(tmp_path))
    folder = Path(paths.job("1.1")) / "progress"
    assert said.progress(paths, "1.1") is None
    folder.mkdir(parents=True)
    os.mkfifo(folder / "0")
    assert said.progress(paths, "1.1") is None
    (folder / "0").unlink()
    (folder / "0").mkdir()
    assert said.progress(paths, "1.1") is None
    (folder / "0").rmdir()
    (folder / "0").write_bytes(b'{"done": 1, "total": 2, "at": 3}\n')
    assert said.progress(paths, "1.1") == {"done": 1, "total": 2, "at": 3}
