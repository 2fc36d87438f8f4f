"""Results come home complete, lose nothing that is there, and never leave their folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from afield.errors import AfieldError, NotFound
from afield.runner import blocks
from afield.sdk.http import Gone
from afield.sdk.results import home, pull
from afield.transport.landing import Brought, inside, safe

Frame = tuple[dict[str, Any], bytes]

WHEN = 1_700_000_000_123_456_789


class Node:
    """What a client says of a node with these files; hangs up once before the file named `hang_up`."""

    def __init__(
        self, files: Mapping[str, bytes], links: Mapping[str, str] | None = None, hang_up: str | None = None
    ) -> None:
        self.files = files
        self.links = links or {}
        self.hang_up = hang_up
        self.damage = 0
        self.asked: list[list[tuple[str, int]]] = []

    def places(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"node": "box1", "worker": 0, "kind": "dir", "path": f"/jobs/{wanted['job']}/outputs", "reach": None}]

    def entries(self, node: str, path: str) -> list[list[Any]]:
        files = [[path, "file", len(data), WHEN, 0o755, None] for path, data in self.files.items()]
        return files + [[path, "link", len(target), WHEN, 0o777, target] for path, target in self.links.items()]

    def get(self, node: str, top: str, files: Sequence[tuple[str, int]]) -> Generator[Frame, None, None]:
        self.asked.append(list(files))
        for path, offset in files:
            if path == self.hang_up:
                self.hang_up = None
                raise Gone("afield's server went away")
            data = self.files[path]
            yield (
                {"on": "file", "path": path, "size": len(data), "mode": 0o755, "mtime_ns": WHEN, "offset": offset},
                b"",
            )
            total = blocks.Sum()
            for at in range(0, len(data), blocks.BLOCK):
                total.add(at, data[at : at + blocks.BLOCK])
                if at >= offset:
                    yield {"on": "data", "path": path, "offset": at}, data[at : at + blocks.BLOCK]
            self.damage -= 1
            told = total.end(len(data) + (self.damage >= 0))
            yield {"on": "sum", "path": path, "sum": told, "changed": False}, b""
        yield {"on": "done"}, b""


def bring(node: Node, root: Path, number: int = 7) -> Brought:
    view: dict[str, Any] = {"number": number, "snapshot": {"root": str(root)}}
    return pull(node, view)  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    top = os.fsencode(folder)
    return {
        os.fsdecode(os.path.relpath(os.path.join(place, name), top)): Path(
            os.fsdecode(os.path.join(place, name))
        ).read_bytes()
        for place, _, names in os.walk(top)
        for name in names
    }


FILES = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 2000, "empty": b"", "caf\udce9": b"bytes"}


def test_files_come_home_with_time_and_mode(tmp_path: Path) -> None:
    brought = bring(Node(FILES), tmp_path)
    assert tree(tmp_path / "outputs/7") == FILES
    assert (brought.files, brought.kept, brought.bytes) == (4, 0, sum(map(len, FILES.values())))
    status = (tmp_path / "outputs/7/deep/er/b.bin").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (WHEN, 0o755)
    assert os.readlink(tmp_path / "outputs/latest") == "7"


def test_what_is_here_already_is_not_brought_again(tmp_path: Path) -> None:
    bring(Node(FILES), tmp_path)
    again = bring(Node(FILES), tmp_path)
    assert (again.files, again.kept, again.bytes) == (0, 4, 0)


def test_what_a_person_changed_is_moved_aside(tmp_path: Path) -> None:
    bring(Node(FILES), tmp_path)
    mine = tmp_path / "outputs/7/a.txt"
    mine.write_text("mine")
    bring(Node(FILES), tmp_path)
    mine.write_text("mine again")
    bring(Node(FILES), tmp_path)
    assert mine.read_bytes() == b"one"
    assert (tmp_path / "outputs/7/a.txt.~1~").read_text() == "mine"
    assert (tmp_path / "outputs/7/a.txt.~2~").read_text() == "mine again"


def test_a_folder_and_a_file_that_are_in_the_way_are_moved_aside(tmp_path: Path) -> None:
    here = tmp_path / "outputs/7"
    (here / "a.txt").mkdir(parents=True)
    (here / "a.txt/note").write_text("kept")
    (here / "deep").write_text("a file")
    bring(Node(FILES), tmp_path)
    assert (here / "a.txt.~1~/note").read_text() == "kept"
    assert (here / "deep.~1~").read_text() == "a file"
    assert (here / "deep/er/b.bin").read_bytes() == FILES["deep/er/b.bin"]


def test_a_break_in_the_middle_is_made_good(tmp_path: Path) -> None:
    node = Node(FILES, hang_up="empty")
    brought = bring(node, tmp_path)
    assert tree(tmp_path / "outputs/7") == FILES
    assert [[path for path, _ in asked] for asked in node.asked] == [list(FILES), ["empty", "caf\udce9"]]
    assert (brought.files, brought.kept) == (4, 2)


def test_a_file_that_was_cut_is_gone_on_from(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 3
    here = tmp_path / "outputs/7"
    here.mkdir(parents=True)
    part = here / os.fsdecode(blocks.part_name(b"big", len(data), WHEN))
    part.write_bytes(data[: blocks.BLOCK + 5])
    node = Node({"big": data})
    bring(node, tmp_path)
    assert node.asked == [[("big", blocks.BLOCK)]]
    assert tree(here) == {"big": data}


def test_what_arrives_damaged_gets_no_name_and_is_asked_for_again(tmp_path: Path) -> None:
    node = Node({"a": b"right"})
    node.damage = 1
    bring(node, tmp_path)
    assert tree(tmp_path / "outputs/7") == {"a": b"right"}
    node = Node({"b": b"right"})
    node.damage = 9
    with pytest.raises(AfieldError, match="damaged") as error:
        bring(node, tmp_path)
    assert error.value.code == "damaged"
    assert not (tmp_path / "outputs/7/b").exists()


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "./a", "", "a\0b", "a/.."])
def test_a_path_that_leaves_is_refused(tmp_path: Path, path: str) -> None:
    assert not safe(os.fsencode(path).split(b"/"))
    brought = bring(Node({path: b"evil", "good": b"good"}), tmp_path)
    assert brought.refused == [path]
    assert tree(tmp_path) == {"outputs/7/good": b"good", "outputs/.gitignore": b"*\n"}


def test_files_are_not_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    here = tmp_path / "outputs/7"
    here.mkdir(parents=True)
    (here / "deep").symlink_to(outside)
    (here / "a.txt").symlink_to(outside / "target")
    bring(Node(FILES), tmp_path)
    assert list(outside.iterdir()) == []
    assert (here / "a.txt").read_bytes() == b"one"
    assert (here / "deep.~1~").is_symlink()


@pytest.mark.parametrize(
    ("at", "target", "stays"),
    [
        ("a", "b", True),
        ("a", ".", True),
        ("x/a", "../b", True),
        ("x/a", "..", True),
        ("a", "..", False),
        ("a", "../7/b", False),
        ("x/a", "../../b", False),
        ("a", "/etc/passwd", False),
        ("a", "b/../../etc", False),
        ("a", "x/../b", False),
        ("a", "b\0c", False),
    ],
)
def test_only_links_that_stay_inside_are_made(tmp_path: Path, at: str, target: str, stays: bool) -> None:
    assert inside(at.encode().split(b"/"), target.encode()) is stays
    brought = bring(Node({}, {at: target}), tmp_path)
    assert (tmp_path / "outputs/7" / at).is_symlink() is stays
    assert brought.refused == ([] if stays else [at])


def test_a_link_that_is_here_is_kept(tmp_path: Path) -> None:
    node = Node({"b": b"x"}, {"a": "b"})
    assert bring(node, tmp_path).files == 2
    again = bring(node, tmp_path)
    assert (again.files, again.kept) == (0, 2)


def test_latest_does_not_go_back_and_is_not_made_over_a_folder(tmp_path: Path) -> None:
    bring(Node(FILES), tmp_path, number=12)
    bring(Node(FILES), tmp_path, number=9)
    assert os.readlink(tmp_path / "outputs/latest") == "12"
    (tmp_path / "outputs/latest").unlink()
    (tmp_path / "outputs/latest").mkdir()
    bring(Node(FILES), tmp_path, number=13)
    assert not (tmp_path / "outputs/latest").is_symlink()


def test_nothing_makes_no_folder(tmp_path: Path) -> None:
    assert bring(Node({}), tmp_path).files == 0
    assert not (tmp_path / "outputs").exists()


def test_a_workspace_that_is_gone_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not here") as error:
        home({"number": 3, "snapshot": {"root": str(tmp_path / "gone")}})
    assert error.value.hints == ("afield pull -o FOLDER",)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(AfieldError, match="can be written"):
        bring(Node(FILES), tmp_path)


def test_the_folder_is_shown_from_where_people_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bring(Node(FILES), tmp_path).shown == "outputs/7/"
    monkeypatch.chdir("/")
    assert Brought(tmp_path / "x").shown == f"{str(tmp_path / 'x').lstrip('/')}/"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert bring(Node(FILES), tmp_path).shown == "../outputs/7/"
