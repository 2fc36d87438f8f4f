"""A node's copies of the code: what streams may do, what each attempt gets, what survives jobs, kills and reboots."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from afield.runner import bootid, delta, gittree, spares, tree
from afield.runner.area import PRISTINE, SPARES, Area, TreeError
from afield.runner.delta import DeltaError
from tests.unit.snapshot.folders import contents, put

WS = "0123456789abcdef"
Files = dict[bytes, tuple[int, bytes]]
KINDS = {delta.FILE: gittree.FILE, delta.PROGRAM: gittree.PROGRAM, delta.LINK: gittree.LINK}


def record(kind: int, path: bytes, data: bytes | None = None) -> bytes:
    head = struct.pack(">BI", kind, len(path)) + path
    if data is None:
        return head
    packed = zlib.compress(data)
    return head + struct.pack(">QQ", len(data), len(packed)) + packed


def hash_of(files: Files) -> str:
    made = gittree.Tree()
    made.update({path: (KINDS[kind], gittree.name_of(b"blob", data)) for path, (kind, data) in files.items()})
    return str(made.hash)


def stream(files: Files, before: Files | None = None) -> bytes:
    before = before or {}
    parts = [record(delta.REMOVE, path) for path in sorted(before) if path not in files]
    parts += [record(kind, path, data) for path, (kind, data) in files.items() if before.get(path) != (kind, data)]
    return b"".join(parts)


def give(store: Path, data: bytes, want: str, base: str | None = None, cut: int = 1 << 20) -> dict[str, Any]:
    pieces = [data[i : i + cut] for i in range(0, len(data), cut)] or [b""]
    reply: dict[str, Any] = {}
    for seq, piece in enumerate(pieces):
        head = {"workspace": WS, "base": base, "want": want, "seq": seq, "last": seq == len(pieces) - 1}
        reply = tree.apply_piece(str(store), head, piece)
        if "have" in reply:
            break
    return reply


def hold(store: Path, files: Files, before: Files | None = None) -> str:
    want = hash_of(files)
    base = hash_of(before) if before is not None else None
    assert give(store, stream(files, before), want, base) == {"have": want}
    return want


def code(want: str, cwd: str = "") -> dict[str, str]:
    return {"workspace": WS, "tree": want, "cwd": cwd}


def stage(store: Path, want: str, name: str, cwd: str = "") -> Path:
    place = store / "jobs" / name / "src"
    assert tree.stage(str(store), code(want, cwd), str(place)) is None
    return place


def shown(files: Files) -> dict[bytes, tuple[str, bytes]]:
    words = {delta.FILE: "file", delta.PROGRAM: "program", delta.LINK: "link"}
    return {path: (words[kind], data) for path, (kind, data) in files.items()}


SMALL: Files = {
    b"a.py": (delta.FILE, b"print()\n"),
    b"bin/run": (delta.PROGRAM, b"#!\n"),
    b"l": (delta.LINK, b"bin/run"),
}
MANY: Files = {b"d%d/f%d" % (i % 7, i): (delta.FILE, b"%d\n" % i * 50) for i in range(300)} | SMALL


@pytest.mark.parametrize("cut", [1, 3, 17, 1 << 20])
def test_a_stream_may_be_cut_anywhere(tmp_path: Path, cut: int) -> None:
    want = hash_of(SMALL)
    assert give(tmp_path, stream(SMALL), want, cut=cut) == {"have": want}
    assert contents(stage(tmp_path, want, "1.1")) == shown(SMALL)


@pytest.mark.parametrize("files", [SMALL, MANY])
def test_every_attempt_has_files_of_its_own(tmp_path: Path, files: Files) -> None:
    want = hold(tmp_path, files)
    places = [stage(tmp_path, want, f"{i}.1") for i in range(3)]
    tree.refill(str(tmp_path), WS)
    places += [stage(tmp_path, want, f"{i}.1") for i in range(3, 7)]
    for place in places:
        assert contents(place) == shown(files)
    inodes = {os.stat(place / "a.py").st_ino for place in places}
    assert len(inodes) == len(places)


def test_staging_again_gives_what_is_there(tmp_path: Path) -> None:
    want = hold(tmp_path, SMALL)
    place = stage(tmp_path, want, "1.1", cwd="new/folder")
    assert (place / "new" / "folder").is_dir()
    put(place, "a.py", b"edited by the job")
    assert stage(tmp_path, want, "1.1") == place
    assert (place / "a.py").read_bytes() == b"edited by the job"


@pytest.mark.parametrize("files", [SMALL, MANY])
def test_what_jobs_do_to_their_files_reaches_nobody_else(tmp_path: Path, files: Files) -> None:
    want = hold(tmp_path, files)
    for i in range(4):
        place = stage(tmp_path, want, f"{i}.1")
        tree.refill(str(tmp_path), WS)
        put(place, "a.py", b"edited")
        (place / "bin" / "run").unlink()
        put(place, "more")
    assert contents(stage(tmp_path, want, "9.1")) == shown(files)


@pytest.mark.parametrize("harm", ["edit", "remove", "link", "all"])
def test_a_job_that_edits_files_lent_to_it_costs_a_new_send_and_nothing_else(tmp_path: Path, harm: str) -> None:
    want = hold(tmp_path, MANY)
    place = stage(tmp_path, want, "1.1")
    assert not (tmp_path / "w" / WS / "pristine").exists()
    if harm == "edit":
        (place / "a.py").write_bytes(b"PRINT()\n")
    elif harm == "remove":
        (place / "a.py").unlink()
    elif harm == "link":
        (place / "l").unlink()
        os.symlink("a.py", place / "l")
    else:
        shutil.rmtree(place)
    if harm != "link":
        tree.refill(str(tmp_path), WS)
    assert tree.stage(str(tmp_path), code(want), str(tmp_path / "jobs/2.1/src")) == {"need": None}
    hold(tmp_path, MANY)
    assert contents(stage(tmp_path, want, "2.1")) == shown(MANY)


def test_an_edit_goes_on_from_files_that_a_job_has(tmp_path: Path) -> None:
    want = hold(tmp_path, MANY)
    stage(tmp_path, want, "1.1")
    files = MANY | {b"a.py": (delta.FILE, b"new")}
    assert contents(stage(tmp_path, hold(tmp_path, files, MANY), "2.1")) == shown(files)


def test_spares_follow_edits(tmp_path: Path) -> None:
    files = dict(MANY)
    hold(tmp_path, files)
    tree.refill(str(tmp_path), WS)
    for i in range(3):
        before = dict(files)
        del files[b"d%d/f%d" % (i, i)]
        files[b"d%d/f%d/now-a-folder" % (i, i)] = (delta.FILE, b"")
        files[b"a.py"] = (delta.PROGRAM, b"%d" % i)
        want = hold(tmp_path, files, before)
        spare = tmp_path / "w" / WS / SPARES[0].decode()
        inode = spare.stat().st_ino
        place = stage(tmp_path, want, f"{i}.1")
        assert place.stat().st_ino == inode
        assert contents(place) == shown(files)
        tree.refill(str(tmp_path), WS)
    kept = [Area(str(tmp_path), WS).held(name).tree.hash for name in (PRISTINE, *SPARES)]
    assert kept == [hash_of(files)] * 3


def test_a_spare_of_the_last_tree_still_serves_it(tmp_path: Path) -> None:
    want = hold(tmp_path, MANY)
    tree.refill(str(tmp_path), WS)
    hold(tmp_path, SMALL, MANY)
    assert contents(stage(tmp_path, want, "1.1")) == shown(MANY)


def test_kinds_change(tmp_path: Path) -> None:
    steps: list[Files] = [
        {b"x": (delta.FILE, b"file")},
        {b"x/y": (delta.FILE, b"in a folder")},
        {b"x": (delta.LINK, b"z"), b"z": (delta.FILE, b"")},
        {b"x": (delta.PROGRAM, b"z")},
        {b"X": (delta.FILE, b"1"), b"x": (delta.FILE, b"2")},
        {},
        {b"n" * 255 + b"/" + b"\xff\n": (delta.FILE, b"strange")},
    ]
    before = None
    for number, files in enumerate(steps):
        assert contents(stage(tmp_path, hold(tmp_path, files, before), f"{number}.1")) == shown(files)
        before = files
    assert os.listdir(tmp_path / "w" / WS / "pristine") == ["n" * 255]


def test_modes_change_without_contents(tmp_path: Path) -> None:
    hold(tmp_path, SMALL)
    files = SMALL | {b"a.py": (delta.PROGRAM, SMALL[b"a.py"][1]), b"bin/run": (delta.FILE, SMALL[b"bin/run"][1])}
    data = record(delta.RUNNABLE, b"a.py") + record(delta.PLAIN, b"bin/run")
    assert give(tmp_path, data, hash_of(files), hash_of(SMALL)) == {"have": hash_of(files)}
    assert contents(stage(tmp_path, hash_of(files), "1.1")) == shown(files)


def test_only_the_owner_may_look_where_the_umask_says_so(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        place = stage(tmp_path, hold(tmp_path, SMALL), "1.1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((place / "a.py").stat().st_mode) == 0o600
    assert stat.S_IMODE((place / "bin" / "run").stat().st_mode) == 0o700


def test_a_stream_from_a_tree_that_is_not_here_is_refused(tmp_path: Path) -> None:
    want = hold(tmp_path, SMALL)
    assert give(tmp_path, b"", hash_of(MANY), base=hash_of({})) == {"have": want, "refused": "base"}
    assert contents(stage(tmp_path, want, "1.1")) == shown(SMALL)


def test_a_tree_that_is_here_is_not_taken_again(tmp_path: Path) -> None:
    want = hold(tmp_path, SMALL)
    assert give(tmp_path, stream(SMALL), want, cut=5) == {"have": want}


@pytest.mark.parametrize(
    "path",
    [b"/etc/x", b"../x", b"a/../../x", b"a//b", b"./a", b"a/", b".git/config", b"sub/.GIT/hooks/x", b"a\0b"],
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: bytes) -> None:
    with pytest.raises(DeltaError):
        give(tmp_path / "s", record(delta.FILE, path, b"x"), "0" * 40)
    assert not list((tmp_path / "s" / "w" / WS).glob("pristine*"))


@pytest.mark.parametrize("target", [b"/etc", b"..", b"x/../..", b"a/../../b", b""])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: bytes) -> None:
    with pytest.raises(DeltaError):
        give(tmp_path, record(delta.LINK, b"l", target), "0" * 40)


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    data = record(delta.FILE, b"d/f", b"1") + record(delta.LINK, b"l", b"d") + record(delta.FILE, b"l/f", b"2")
    with pytest.raises(TreeError):
        give(tmp_path / "s", data, "0" * 40)


@pytest.mark.parametrize("cwd", ["../x", "/tmp", "a/../../b", ".git"])
def test_a_starting_folder_outside_is_refused(tmp_path: Path, cwd: str) -> None:
    want = hold(tmp_path, SMALL)
    with pytest.raises(DeltaError):
        tree.stage(str(tmp_path), code(want, cwd), str(tmp_path / "jobs/1.1/src"))


def test_a_workspace_is_a_plain_word(tmp_path: Path) -> None:
    with pytest.raises(TreeError):
        tree.stage(str(tmp_path), {"workspace": "../x", "tree": "0" * 40, "cwd": ""}, str(tmp_path / "x"))


DAMAGE = {
    "cut": lambda data: data[:-3],
    "bit": lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:],
    "kind": lambda data: b"\x09" + data[1:],
    "tail": lambda data: data + b"\x01",
    "other": lambda data: data + record(delta.FILE, b"more", b""),
    "remove": lambda data: data + record(delta.REMOVE, b"not-there"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_stream_leaves_nothing_that_counts(tmp_path: Path, damage: str) -> None:
    hold(tmp_path, SMALL)
    files = SMALL | {b"new": (delta.FILE, b"text" * 100)}
    with pytest.raises((DeltaError, TreeError, OSError)):
        give(tmp_path, DAMAGE[damage](stream(files, SMALL)), hash_of(files), hash_of(SMALL))
    assert tree.stage(str(tmp_path), code(hash_of(files)), str(tmp_path / "jobs/1.1/src")) == {"need": None}
    hold(tmp_path, files)


def test_pieces_out_of_order_are_refused(tmp_path: Path) -> None:
    data, want = stream(SMALL), hash_of(SMALL)
    head = {"workspace": WS, "base": None, "want": want, "last": False}
    with pytest.raises(TreeError):
        tree.apply_piece(str(tmp_path), {**head, "seq": 1}, data[:5])
    tree.apply_piece(str(tmp_path), {**head, "seq": 0}, data[:5])
    with pytest.raises(TreeError):
        tree.apply_piece(str(tmp_path), {**head, "seq": 2}, data[5:9])
    assert give(tmp_path, data, want) == {"have": want}


def test_a_new_stream_takes_the_place_of_one_that_stopped(tmp_path: Path) -> None:
    head = {"workspace": WS, "base": None, "want": hash_of(SMALL), "last": False, "seq": 0}
    tree.apply_piece(str(tmp_path), head, stream(SMALL)[:20])
    assert contents(stage(tmp_path, hold(tmp_path, MANY), "1.1")) == shown(MANY)


KILLED = """
import os, signal, sys
from afield.runner import tree
store, ws, want, size = sys.argv[1:]
data = sys.stdin.buffer.read()
head = {"workspace": ws, "base": None, "want": want, "seq": 0, "last": False}
tree.apply_piece(store, head, data[: int(size)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("part", [0.1, 0.5, 1.0])
def test_a_stream_killed_half_way_leaves_nothing_that_counts(tmp_path: Path, part: float) -> None:
    hold(tmp_path, SMALL)
    data, want = stream(MANY), hash_of(MANY)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), WS, want, str(int(len(data) * part))]
    assert subprocess.run(arguments, input=data, check=False).returncode == -9
    assert tree.stage(str(tmp_path), code(want), str(tmp_path / "jobs/1.1/src")) == {"need": None}
    assert contents(stage(tmp_path, hold(tmp_path, MANY), "1.1")) == shown(MANY)


def test_after_a_reboot_files_are_hashed_before_they_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = hold(tmp_path, MANY)
    tree.refill(str(tmp_path), WS)
    monkeypatch.setattr(bootid, "_known", ["another boot"])
    assert contents(stage(tmp_path, want, "1.1")) == shown(MANY)
    monkeypatch.setattr(bootid, "_known", ["a third boot"])
    for name in (PRISTINE, *SPARES):
        if os.path.isdir(Area(str(tmp_path), WS).place(name)):
            (tmp_path / "w" / WS / name.decode() / "a.py").write_bytes(b"")
    assert tree.stage(str(tmp_path), code(want), str(tmp_path / "jobs/2.1/src")) == {"need": None}


@pytest.mark.parametrize("harm", ["more", "less", "mode", "kind"])
def test_any_difference_is_found_after_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    want = hold(tmp_path, SMALL)
    file = tmp_path / "w" / WS / "pristine" / "a.py"
    if harm == "more":
        put(file.parent, "x/y")
    elif harm == "mode":
        file.chmod(0o755)
    else:
        file.unlink()
        if harm == "kind":
            os.mkfifo(file)
    monkeypatch.setattr(bootid, "_known", ["another boot"])
    assert tree.stage(str(tmp_path), code(want), str(tmp_path / "jobs/1.1/src")) == {"need": None}


def test_a_damaged_index_does_not_count(tmp_path: Path) -> None:
    want = hold(tmp_path, SMALL)
    index = tmp_path / "w" / WS / "pristine.index"
    whole = index.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", b"x" + whole):
        hold(tmp_path, SMALL)
        index.write_bytes(damaged)
        assert tree.stage(str(tmp_path), code(want), str(tmp_path / "jobs/1.1/src")) == {"need": None}


def test_a_refill_lets_a_stream_in_and_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(tmp_path, MANY)
    files = MANY | {b"a.py": (delta.FILE, b"new"), b"more/x": (delta.FILE, b"")}
    del files[b"d0/f0"]
    monkeypatch.setattr(spares, "SLICE_S", 0.0)
    pauses = []

    def pause(_: float) -> None:
        pauses.append(1)
        if len(pauses) == 40:
            hold(tmp_path, files, MANY)

    monkeypatch.setattr(time, "sleep", pause)
    tree.refill(str(tmp_path), WS)
    assert len(pauses) > 300
    assert [Area(str(tmp_path), WS).names(name) for name in SPARES] == [hash_of(files)] * 2
    for i in range(3):
        assert contents(stage(tmp_path, hash_of(files), f"{i}.1")) == shown(files)


def test_rubbish_is_removed(tmp_path: Path) -> None:
    hold(tmp_path, MANY)
    tree.refill(str(tmp_path), WS)
    os.unlink(tmp_path / "w" / WS / "spare.0.index")
    (tmp_path / "w" / WS / "spare.1" / "a.py").chmod(0o000)
    Area(str(tmp_path), WS).discard(SPARES[1])
    tree.refill(str(tmp_path), WS)
    left = sorted(os.listdir(tmp_path / "w" / WS))
    kept = ["pristine", "pristine.index", "spare.0", "spare.0.index", "spare.1", "spare.1.index"]
    assert left == sorted([*kept, "lock", "refill.lock"])


def test_many_at_once(tmp_path: Path) -> None:
    """Attempts start and spares are refilled in processes of their own while edits arrive."""
    files = dict(MANY)
    want = hold(tmp_path, files)
    children = []
    for round_ in range(4):
        for i in range(3):
            pid = os.fork()
            if pid == 0:
                os._exit(_child(tmp_path, want, files, f"{round_}{i}.1"))
            children.append(pid)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        children.clear()
        before = dict(files)
        files[b"a.py"] = (delta.FILE, b"%d" % round_)
        want = hash_of(files)
        reply = give(tmp_path, stream(files, before), want, hash_of(before))
        if reply.get("refused"):
            hold(tmp_path, files)


def _child(store: Path, want: str, files: Files, name: str) -> int:
    try:
        mine = contents(stage(store, want, name)) == shown(files)
        tree.refill(str(store), WS)
    except BaseException as error:  # noqa: BLE001 the child of a fork must not return into pytest
        os.write(2, repr(error).encode())
        return 1
    return 0 if mine else 2
