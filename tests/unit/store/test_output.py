"""Mirrored output: every byte once and in its place, and what is missing is marked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import AfieldError, StoreRefused
from afield.store import output
from afield.store.output import Mirror

OUT = ("3.1", "p0/out")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "output")
    yield made
    made.close()


def everything(mirror: Mirror, attempt: str = "3.1", stream: str = "p0/out", *, limit: int = 1 << 20) -> bytes:
    found, at = b"", 0
    while True:
        data, at = mirror.read(attempt, stream, at, limit)
        if not data:
            return found
        found += data


def test_nothing_is_there_at_first(mirror: Mirror, tmp_path: Path) -> None:
    assert mirror.cursor(*OUT) == (0, b"")
    assert mirror.read(*OUT, 0, 10) == (b"", 0)
    assert mirror.read(*OUT, 7, 10) == (b"", 7)
    assert mirror.gaps(*OUT) == []
    assert mirror.streams("3.1") == []
    assert mirror.size(*OUT) == 0
    mirror.sync("3.1")
    assert not (tmp_path / "output").exists(), "asking makes nothing"


def test_bytes_are_appended_as_they_come(mirror: Mirror, tmp_path: Path) -> None:
    assert mirror.append(*OUT, 0, b"hello ") == 6
    assert mirror.append(*OUT, 6, b"world\n\xff\0") == 8
    assert mirror.cursor(*OUT) == (14, b"hello world\n\xff\0")
    assert mirror.read(*OUT, 6, 5) == (b"world", 11)
    assert mirror.read(*OUT, 14, 5) == (b"", 14)
    assert (tmp_path / "output" / "3.1" / "p0.out").read_bytes() == b"hello world\n\xff\0"
    assert not (tmp_path / "output" / "3.1" / "p0.out.gaps").exists()


def test_the_tail_is_64_bytes(mirror: Mirror) -> None:
    data = bytes(range(200))
    mirror.append(*OUT, 0, data)
    assert mirror.cursor(*OUT) == (200, data[-64:])


def test_what_is_held_already_is_dropped(mirror: Mirror) -> None:
    mirror.append(*OUT, 0, b"0123456789")
    assert mirror.append(*OUT, 0, b"0123") == 0
    assert mirror.append(*OUT, 4, b"456789") == 0
    assert mirror.append(*OUT, 8, b"89ab") == 2
    assert everything(mirror) == b"0123456789ab"
    assert mirror.gaps(*OUT) == []


def test_missing_bytes_are_a_gap(mirror: Mirror, tmp_path: Path) -> None:
    mirror.append(*OUT, 0, b"0123")
    mirror.append(*OUT, 10, b"abcd")
    mirror.append(*OUT, 14, b"ef")
    assert mirror.gaps(*OUT) == [{"at": 4, "from": 4, "to": 10, "why": "missing"}]
    assert mirror.cursor(*OUT) == (16, b"abcdef"), "the tail ends at the gap"
    assert mirror.append(*OUT, 12, b"cdefgh") == 2
    assert everything(mirror) == b"0123abcdefgh"
    assert mirror.read(*OUT, 0, 100) == (b"0123", 4), "a chunk has no gap inside"
    assert mirror.read(*OUT, 4, 100) == (b"abcdefgh", 12)
    lines = (tmp_path / "output" / "3.1" / "p0.out.gaps").read_text().splitlines()
    assert [json.loads(line) for line in lines] == mirror.gaps(*OUT)


def test_a_file_that_shrank_goes_on_at_its_start(mirror: Mirror) -> None:
    mirror.append(*OUT, 0, b"old contents")
    mirror.gap(*OUT, 12, 0, "shrank")
    assert mirror.cursor(*OUT) == (0, b"")
    mirror.append(*OUT, 0, b"new")
    assert mirror.cursor(*OUT) == (3, b"new")
    assert everything(mirror) == b"old contentsnew"
    assert mirror.gaps(*OUT) == [{"at": 12, "from": 12, "to": 0, "why": "shrank"}]


def test_a_file_with_other_bytes_goes_on_where_it_was(mirror: Mirror) -> None:
    mirror.append(*OUT, 0, b"0123")
    for _ in range(2):
        mirror.gap(*OUT, 4, 4, "differs")
    assert mirror.cursor(*OUT) == (4, b"")
    mirror.append(*OUT, 4, b"45")
    assert everything(mirror) == b"012345"
    assert len(mirror.gaps(*OUT)) == 1, "the same gap is marked once"


def test_streams_are_listed_and_kept_apart(mirror: Mirror) -> None:
    # Output before errors: who reads only afterwards sees the traceback last.
    names = ["p0/out", "p0/err", "p12/out", "stage.environment@box-1.lab/err", "stage.setup@box2/out"]
    for name in names:
        mirror.append("3.1", name, 0, name.encode())
    mirror.append("3.2", "p0/out", 5, b"late")
    assert mirror.streams("3.1") == names
    assert mirror.streams("3.2") == ["p0/out"]
    for name in names:
        assert everything(mirror, "3.1", name) == name.encode()


@pytest.mark.parametrize(
    ("attempt", "stream"),
    [
        ("3.1", "../../etc/out"),
        ("3.1", "p0"),
        ("3.1", "p0/log"),
        ("3.1", "/out"),
        ("3.1", "../out"),
        ("3.1", ".hidden/out"),
        ("3.1", "a/b/out"),
        ("3.1", "p0\0/out"),
        ("3.1", "p" * 300 + "/out"),
        ("..", "p0/out"),
        ("3", "p0/out"),
        ("3.1/..", "p0/out"),
        ("", "p0/out"),
    ],
)
def test_names_that_are_no_streams_are_refused(mirror: Mirror, attempt: str, stream: str) -> None:
    with pytest.raises(AfieldError):
        mirror.append(attempt, stream, 0, b"x")


def test_what_was_mirrored_is_found_again(tmp_path: Path) -> None:
    first = Mirror(tmp_path)
    first.append(*OUT, 0, b"0123")
    first.append(*OUT, 10, b"abcd")
    first.close()
    second = Mirror(tmp_path)
    assert second.cursor(*OUT) == (14, b"abcd")
    assert second.gaps(*OUT) == first.gaps(*OUT)
    second.append(*OUT, 14, b"e")
    assert everything(second) == b"0123abcde"
    second.close()


def test_a_gap_behind_bytes_that_a_power_cut_took_is_forgotten(tmp_path: Path) -> None:
    first = Mirror(tmp_path)
    first.append(*OUT, 0, b"0123456789")
    first.append(*OUT, 20, b"abcd")
    first.close()
    os.truncate(tmp_path / "3.1" / "p0.out", 7)
    second = Mirror(tmp_path)
    assert second.cursor(*OUT) == (7, b"0123456")
    assert second.gaps(*OUT) == []
    second.append(*OUT, 7, b"789 and more")
    second.close()
    assert Mirror(tmp_path).gaps(*OUT) == [], "and does not come back when the file has grown past it"


@pytest.mark.parametrize("torn", [b'{"at": 14, "fr', b"\xff\xfe", b"17\n", b'{"at": "x"}\n'])
def test_a_torn_gap_stands_for_nothing(tmp_path: Path, torn: bytes) -> None:
    first = Mirror(tmp_path)
    first.append(*OUT, 0, b"0123")
    first.append(*OUT, 10, b"abcd")
    gaps = first.gaps(*OUT)
    first.close()
    with (tmp_path / "3.1" / "p0.out.gaps").open("ab") as file:
        file.write(torn)
    second = Mirror(tmp_path)
    assert second.gaps(*OUT) == gaps
    second.append(*OUT, 20, b"x")
    second.close()
    assert [g["at"] for g in Mirror(tmp_path).gaps(*OUT)] == [4, 8]


def test_over_the_cap_is_left_out_and_the_cursor_goes_on(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, cap=10)
    assert mirror.append(*OUT, 0, b"0123456") == 7
    assert mirror.append(*OUT, 7, b"789abc") == 3
    assert mirror.append(*OUT, 13, b"defg") == 0
    assert mirror.append(*OUT, 13, b"defg") == 0
    assert mirror.append(*OUT, 30, b"later") == 0
    assert mirror.cursor(*OUT) == (35, b""), "nobody waits for what is not kept"
    assert everything(mirror) == b"0123456789"
    assert mirror.gaps(*OUT) == [{"at": 10, "from": 10, "to": 35, "why": "over the cap of 10 bytes"}]
    mirror.close()
    again = Mirror(tmp_path, cap=10)
    assert everything(again) == b"0123456789"
    at, tail = again.cursor(*OUT)
    assert 10 <= at <= 35
    assert tail == b""
    again.append(*OUT, at, b"z" * (40 - at))
    assert again.cursor(*OUT)[0] == 40
    assert len(again.gaps(*OUT)) == 1
    again.close()


def test_more_streams_than_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "OPEN_FILES", 4)
    mirror = Mirror(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(3):
        for rank in range(20):
            mirror.append("3.1", f"p{rank}/out", turn * 2, b"%d\n" % turn)
    assert len(os.listdir("/proc/self/fd")) - before <= 4
    assert all(everything(mirror, "3.1", f"p{rank}/out") == b"0\n1\n2\n" for rank in range(20))
    mirror.sync("3.1")
    mirror.close()
    assert len(os.listdir("/proc/self/fd")) == before


@settings(deadline=None)
@given(st.data())
def test_any_order_of_chunks_gives_the_nodes_bytes_and_their_gaps(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    source = bytes(i % 251 for i in range(600))
    folder = tmp_path_factory.mktemp("mirror")
    mirror = Mirror(folder)
    expected, reached = b"", 0
    for _ in range(data.draw(st.integers(1, 12))):
        start = data.draw(st.integers(0, 500))
        end = data.draw(st.integers(start, 600))
        mirror.append(*OUT, start, source[start:end])
        if end > reached:
            expected += source[max(start, reached) : end]
            reached = end
        if data.draw(st.booleans()):
            mirror.close()
            mirror = Mirror(folder)
        cursor, tail = mirror.cursor(*OUT)
        assert cursor == reached
        assert source[:cursor].endswith(tail)
    assert everything(mirror, limit=data.draw(st.integers(1, 700))) == expected
    rebuilt, at, node_at = bytearray(), 0, 0
    for gap in mirror.gaps(*OUT):
        rebuilt += expected[at : gap["at"]]
        node_at += gap["at"] - at
        assert gap["from"] == node_at
        rebuilt += source[gap["from"] : gap["to"]]
        at, node_at = gap["at"], gap["to"]
    assert bytes(rebuilt + expected[at:]) == source[:reached]
    mirror.close()


def test_a_full_disk_is_said_and_the_rest_can_come_later(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the kernel then cuts a write short in the same way."""
    script = """
import resource, signal, sys
from afield.errors import StoreRefused
from afield.store.output import Mirror
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
mirror = Mirror(sys.argv[1])
source = bytes(i % 251 for i in range(300_000))
try:
    for at in range(0, 300_000, 30_000):
        mirror.append("3.1", "p0/out", at, source[at : at + 30_000])
except StoreRefused as error:
    print(error.what)
assert mirror.cursor("3.1", "p0/out") == (100_000, source[99_936:100_000])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
mirror.append("3.1", "p0/out", 100_000, source[100_000:])
assert open(sys.argv[1] + "/3.1/p0.out", "rb").read() == source and mirror.gaps("3.1", "p0/out") == []
"""
    command = [sys.executable, "-c", script, str(tmp_path / "output")]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("disk full")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("in the way")
    with pytest.raises(StoreRefused):
        Mirror(tmp_path / "output").append(*OUT, 0, b"x")
