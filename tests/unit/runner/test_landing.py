"""What goes away on the node when a mirror says so: files below the folder, and nothing that a link leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

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
