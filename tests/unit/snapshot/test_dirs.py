"""Several folders in one snapshot: their names, what is refused, and that each belongs to the hash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from afield.errors import UsageError
from afield.snapshot.contents import contents
from afield.snapshot.dirs import absolute, places, take_with


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("project/sub", "common", "other/common"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "project/afield.toml").write_text("")
    (tmp_path / "project/main.py").write_text("main")
    (tmp_path / "common/a.py").write_text("a")
    (tmp_path / "other/common/b.py").write_text("b")
    return tmp_path / "project"


def test_the_names_of_folders(root: Path) -> None:
    above = root.parent
    assert places(("../common", "lib=../other/common"), root) == {
        "common": above / "common",
        "lib": above / "other/common",
    }
    assert absolute("lib=x", Path("/here")) == "lib=/here/x"
    assert absolute("../x", Path("/here")) == "/here/../x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("../nothing",), "there is no folder"),
        (("../common", "../other/common"), "two folders would be common/"),
        (("..",), "holds more than code"),
        (("sub",), "is in the workspace already"),
        ((".git=../common",), "cannot name a folder"),
        (("outputs=../common",), "cannot name a folder"),
        (("/",), "cannot name a folder"),
    ],
)
def test_what_cannot_be_a_folder_of_a_snapshot(root: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        places(words, root)


def test_all_folders_are_one_tree(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    dirs = places(("../common", "lib=../other/common"), root)
    alone = take_with(root, {}, cache=cache)
    taken = take_with(root, dirs, cache=cache)
    found = {os.fsdecode(file.path): file.data for file in contents(cache, taken.workspace, taken.tree)}
    assert found == {"afield.toml": b"", "main.py": b"main", "common/a.py": b"a", "lib/b.py": b"b"}
    assert (taken.files, alone.files, taken.workspace) == (4, 2, alone.workspace)
    assert take_with(root, dirs, cache=cache).tree == taken.tree != alone.tree
    (root.parent / "common/a.py").write_text("changed")
    changed = take_with(root, dirs, cache=cache)
    assert (changed.tree != taken.tree, changed.changed) == (True, 1)
    assert take_with(root, {}, cache=cache).tree == alone.tree
    with pytest.raises(UsageError, match="the workspace has that already") as refused:
        take_with(root, {"main.py": root.parent / "common"}, cache=cache)
    assert refused.value.code == "dir-clash"
