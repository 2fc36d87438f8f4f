"""What comes and goes on the node when a copy says so: whole files or none, and nothing that a link leads to."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from afield.runner import blocks
from afield.runner.landing import Landing, LandingError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base/a/b").mkdir(parents=True)
    (tmp_path / "base/a/b/c").write_text("c")
    (tmp_path / "base/a/keep").write_text("keep")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/c").write_text("outside")
    return tmp_path / "base"


def remove(base: Path, path: str) -> None:
    landing = Landing(str(base))
    landing.take({"on": "remove", "path": path}, b"")
    landing.close()


def test_a_file_goes_and_the_folders_that_it_leaves_empty(base: Path) -> None:
    remove(base, "a/b/c")
    assert not (base / "a/b").exists()
    assert (base / "a/keep").read_text() == "keep"
    remove(base, "a/keep")
    assert base.is_dir()
    assert list(base.iterdir()) == []


def test_what_is_gone_already_or_a_folder_now_is_left(base: Path) -> None:
    remove(base, "a/b/nothing")
    remove(base, "nothing/at/all")
    remove(base, "a/b")
    assert (base / "a/b/c").read_text() == "c"


def test_no_link_is_followed_and_a_link_itself_goes(base: Path) -> None:
    (base / "link").symlink_to(base.parent / "outside")
    remove(base, "link/c")
    assert (base.parent / "outside/c").read_text() == "outside"
    remove(base, "link")
    assert not (base / "link").is_symlink()
    assert (base.parent / "outside/c").exists()


@pytest.mark.parametrize("path", ["../outside/c", "/etc/passwd", "a/../../outside/c", "", "."])
def test_a_path_out_of_the_folder_is_refused(base: Path, path: str) -> None:
    with pytest.raises(LandingError):
        remove(base, path)
    assert (base.parent / "outside/c").exists()


def test_a_file_that_could_not_be_written_does_not_get_its_name_by_what_came_after(tmp_path: Path) -> None:
    """A full disk: all of the file is on its way before the node has said that it has no room."""
    size = 3 * blocks.BLOCK
    content = bytes(range(1, 256)) * (size // 255 + 1)
    total = blocks.Sum()
    items = []
    for at in range(0, size, blocks.BLOCK):
        total.add(at, content[at : at + blocks.BLOCK])
        items.append(({"on": "data", "offset": at}, content[at : at + blocks.BLOCK]))
    file = {"on": "file", "path": "big", "size": size, "mtime_ns": 1, "mode": 0o644}
    items.append(({"on": "sum", "sum": total.end(size)}, b""))
    landing = Landing(str(tmp_path))

    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (blocks.BLOCK, room[1]))
    try:
        landing.take({**file, "offset": 0}, b"")
        landing.take(*items[0])
        with pytest.raises(OSError, match="File too large"):
            landing.take(*items[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    for item in items[2:]:
        with pytest.raises(LandingError):
            landing.take(*item)
    assert [path.suffix for path in tmp_path.iterdir()] == [".afpart"]

    landing.take({**file, "offset": blocks.BLOCK}, b"")
    for item in items[1:]:
        landing.take(*item)
    landing.close()
    assert [path.name for path in tmp_path.iterdir()] == ["big"]
    assert (tmp_path / "big").read_bytes() == content[:size]
