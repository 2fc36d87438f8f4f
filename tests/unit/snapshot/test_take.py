"""What becomes part of a snapshot: what the user sees, byte for byte, whatever git is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from afield.errors import AfieldError
from afield.snapshot import reading
from afield.snapshot import take as take_module
from afield.snapshot.diff import diff
from afield.snapshot.take import Snapshot, find_root, take
from tests.unit.snapshot.folders import apply, contents, git, put, staged


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace; the user's home with git's settings is another folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def snap(root: Path, *, big: bool = False) -> Snapshot:
    return take(root, cache=root.parent / "cache", big=big)


def arrived(root: Path, snapshot: Snapshot) -> dict[bytes, tuple[str, bytes]]:
    """The files as an attempt on a node gets them."""
    store = root.parent / f"node-{snapshot.tree}"
    apply(store, root.parent / "cache", snapshot)
    return contents(staged(store, snapshot, "1.1"))


def names(root: Path) -> set[bytes]:
    return set(arrived(root, snap(root)))


def test_the_tree_hash_is_gits(root: Path) -> None:
    git(root, "init", "-q")
    for name in ("a", "a.b/c", "a-b", "z/deep/er/f", "run.sh"):
        put(root, name, name.encode(), 0o755 if name.endswith(".sh") else 0o644)
    os.symlink("z/deep", root / "link")
    git(root, "add", "-A")
    assert snap(root).tree == git(root, "write-tree")


def test_line_endings_and_attributes_do_not_apply(root: Path) -> None:
    git(root, "init", "-q")
    put(root, ".gitattributes", b"* text=auto eol=crlf ident working-tree-encoding=UTF-16\n")
    git(root, "config", "core.autocrlf", "true")
    put(root, "dos.txt", b"one\r\ntwo\r\n$Id$\r\n")
    put(root, "unix.txt", b"one\ntwo\n")
    assert arrived(root, snap(root)) == contents(root)


def test_clean_filters_do_not_run(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "config", "filter.lfs.clean", "sed s/secret/pointer/")
    git(root, "config", "filter.lfs.required", "true")
    put(root, ".gitattributes", b"*.bin filter=lfs diff=lfs merge=lfs -text\n")
    put(root, "model.bin", b"secret\0weights")
    assert arrived(root, snap(root))[b"model.bin"] == ("file", b"secret\0weights")


@pytest.mark.parametrize("commits", [True, False])
def test_nested_repositories_are_part_of_it(root: Path, commits: bool) -> None:
    git(root, "init", "-q")
    put(root, "top.py")
    put(root, "inner/deep/a.py")
    put(root, "inner/ignored.o")
    put(root, "inner/.gitignore", b"*.o\n")
    git(root / "inner", "init", "-q")
    if commits:
        git(root / "inner", "add", "-A")
        git(root / "inner", "commit", "-qm", "x")
    put(root, "inner/new.py")
    assert names(root) == {b"top.py", b"inner/deep/a.py", b"inner/.gitignore", b"inner/new.py"}


def test_a_checkout_in_the_index_is_part_of_it(root: Path) -> None:
    put(root, "sub/a.py")
    git(root / "sub", "init", "-q")
    git(root / "sub", "add", "-A")
    git(root / "sub", "commit", "-qm", "x")
    git(root, "init", "-q")
    git(root, "add", "-A")
    put(root, "sub/new.py")
    assert b"sub" in git(root, "ls-files").encode().splitlines()
    assert names(root) == {b"sub/a.py", b"sub/new.py"}
    put(root, "sub/later.py")
    assert names(root) == {b"sub/a.py", b"sub/new.py", b"sub/later.py"}


def test_ignore_rules_of_the_user_count(root: Path) -> None:
    git(root, "init", "-q")
    put(root, ".git/info/exclude", b"private\n")
    put(root.parent / "home", "everywhere", b"*.swp\n")
    put(root.parent / "home", ".gitconfig", b"[core]\n\texcludesFile = ~/everywhere\n")
    put(root, ".gitignore", b"*.log\n")
    for name in ("private", "a.swp", "b.log", "keep.py"):
        put(root, name)
    assert names(root) == {b".gitignore", b"keep.py"}


def test_a_tracked_file_that_is_ignored_is_part_of_it(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "weights.bin")
    git(root, "add", "-A")
    put(root, ".gitignore", b"*.bin\n")
    put(root, "other.bin")
    assert names(root) == {b".gitignore", b"weights.bin"}


def test_a_deleted_tracked_file_is_not(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "a")
    put(root, "b")
    git(root, "add", "-A")
    (root / "b").unlink()
    assert names(root) == {b"a"}


def test_without_git_the_same_rules_apply(root: Path) -> None:
    put(root, ".gitignore", b"*.o\nbuild/\n")
    put(root, "sub/.gitignore", b"!keep.o\n")
    for name in ("a.py", "a.o", "build/x", "sub/keep.o", "sub/drop.o"):
        put(root, name)
    assert names(root) == {b".gitignore", b"a.py", b"sub/.gitignore", b"sub/keep.o"}
    assert snap(root).base_commit == ""


def test_afieldignore_takes_away_also_what_is_tracked(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "a.py")
    put(root, "notes/secret.txt")
    put(root, "notes/public.txt")
    git(root, "add", "-A")
    put(root, ".gitignore", b"!wanted.tmp\n")
    put(root, "wanted.tmp")
    put(root, ".afieldignore", b"/notes/*\n!/notes/public.txt\n*.tmp\n")
    assert names(root) == {b".afieldignore", b".gitignore", b"a.py", b"notes/public.txt"}


def test_afieldinclude_adds_what_is_ignored(root: Path) -> None:
    git(root, "init", "-q")
    put(root, ".gitignore", b"*.bin\n.venv/\n")
    for name in ("a.py", "model.bin", "other.bin", "data/train.csv", "data/test.csv", "outputs/1/log", ".venv/x"):
        put(root, name)
    put(root, ".afieldinclude", b"model.bin\n/data/train.csv\noutputs/\n")
    assert names(root) == {b".afieldinclude", b".gitignore", b"a.py", b"model.bin", b"data/train.csv"}


def test_afieldinclude_does_not_reach_into_environments(root: Path) -> None:
    for name in ("a.py", "data/train.csv", ".venv/pyvenv.cfg", ".venv/lib/torch/data/loader.py"):
        put(root, name)
    put(root, ".afieldinclude", b"data/\n")
    assert names(root) == {b".afieldinclude", b"a.py", b"data/train.csv"}


def test_data_and_outputs_stay_here_and_data_is_named(root: Path) -> None:
    for name in ("a.py", "data/big", "outputs/1/x", "pkg/data/x", "pkg/outputs/y"):
        put(root, name)
    snapshot = snap(root)
    assert set(arrived(root, snapshot)) == {b"a.py", b"pkg/data/x", b"pkg/outputs/y"}
    assert [name for name, _ in snapshot.skipped] == ["data/"]


def test_tracked_data_and_outputs_stay_here_also_below_the_top_of_a_checkout(root: Path) -> None:
    git(root, "init", "-q")
    for name in ("s[u]b/data/x", "s[u]b/outputs/y", "s[u]b/a.py", "other/b.py"):
        put(root, name)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    snapshot = take(root / "s[u]b", cache=root.parent / "cache")
    assert set(arrived(root, snapshot)) == {b"a.py"}
    assert snapshot.base_commit == git(root, "rev-parse", "HEAD")


def test_a_workspace_that_its_outer_checkout_ignores_is_not_empty(root: Path) -> None:
    git(root, "init", "-q")
    put(root, ".gitignore", b"scratch/\n")
    put(root, "scratch/a.py")
    snapshot = take(root / "scratch", cache=root.parent / "cache")
    assert set(arrived(root, snapshot)) == {b"a.py"}


def test_a_python_environment_is_left_out_and_named(root: Path) -> None:
    put(root, "a.py")
    put(root, "env/pyvenv.cfg")
    put(root, "env/lib/x.py")
    os.symlink("/usr/bin/python3", root / "env" / "python")
    snapshot = snap(root)
    assert set(arrived(root, snapshot)) == {b"a.py"}
    assert [name for name, _ in snapshot.skipped] == ["env/"]


def test_strange_names(root: Path) -> None:
    strange = [
        b"new\nline",
        b"-rf",
        b"caf\xe9\xff",
        b"a b\t",
        b'"quoted"',
        b"n" * 255,
        b"Case",
        b"case",
        b"*",
        b"d/\x01",
    ]
    for name in strange:
        put(root, name, name)
    assert arrived(root, snap(root)) == {name: ("file", name) for name in strange}
    git(root, "init", "-q")
    assert arrived(root, snap(root)) == {name: ("file", name) for name in strange}


def test_links_that_leave_are_refused_with_their_names(root: Path) -> None:
    put(root, "a")
    os.makedirs(root / "sub")
    for name, target in (("ok", "a"), ("sub/up", "../a"), ("hanging", "nowhere"), ("folder", "sub")):
        os.symlink(target, root / name)
    assert arrived(root, snap(root)) == contents(root)
    os.symlink("/etc/passwd", root / "absolute")
    os.symlink("../outside", root / "above")
    os.symlink("..", root / "sub" / "root")
    os.symlink("sub/root/..", root / "by_link")
    with pytest.raises(AfieldError) as caught:
        snap(root)
    assert caught.value.code == "link-leaves"
    for name in ("absolute", "above", "by_link"):
        assert name in caught.value.what
    assert "sub/up" not in caught.value.what
    put(root, ".afieldignore", b"/absolute\n/above\n/by_link\n")
    assert b"sub/root" in names(root)


def test_files_behind_a_link_are_not_the_workspaces(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "pkg/a.py")
    put(root, "real/a.py", b"other")
    git(root, "add", "-A")
    (root / "pkg/a.py").unlink()
    (root / "pkg").rmdir()
    os.symlink("real", root / "pkg")
    assert arrived(root, snap(root)) == {b"pkg": ("link", b"real"), b"real/a.py": ("file", b"other")}


def test_sockets_and_pipes_are_named(root: Path) -> None:
    put(root, "a")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
    snapshot = snap(root)
    assert set(arrived(root, snapshot)) == {b"a"}
    assert {name for name, _ in snapshot.skipped} == {"pipe", "socket"}


UNREADABLE = """
import os, sys
from pathlib import Path
from afield.errors import AfieldError
from afield.snapshot.take import take
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    take(Path(sys.argv[1]), cache=Path(sys.argv[2]))
except AfieldError as error:
    print(error.code, error.what, error.why)
"""


def unreadable(root: Path) -> str:
    """What a user without rights hears; run apart, because root may read everything."""
    cache = root.parent / "other-cache"
    cache.mkdir(mode=0o777, exist_ok=True)
    cache.chmod(0o777)
    folder = root
    while folder != Path(tempfile.gettempdir()):
        folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(root), str(cache)],
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_an_unreadable_file_is_named(root: Path) -> None:
    put(root, "open.py")
    put(root, "closed.py", mode=0o000)
    said = unreadable(root)
    assert said.startswith("unreadable ")
    assert "closed.py: Permission denied" in said


def test_an_unreadable_folder_is_named(root: Path) -> None:
    put(root, "open.py")
    put(root, "closed/a.py")
    (root / "closed").chmod(0o000)
    said = unreadable(root)
    (root / "closed").chmod(0o755)
    assert said.startswith("unreadable ")
    assert "closed/" in said


@pytest.mark.parametrize("limit", [reading.LARGE, 4])
def test_a_file_that_changes_while_it_is_read_fails_the_take(
    root: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    put(root, "log", b"line\n" * 10)
    monkeypatch.setattr(reading, "LARGE", limit)
    real = os.read

    def growing(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        if data.startswith(b"line"):
            put(root, "log", b"other" * 10)
        return data

    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(AfieldError) as caught:
        snap(root)
    assert caught.value.code == "changed-while-read"
    assert "log" in caught.value.what


def test_large_files_go_through_in_pieces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", 1000)
    monkeypatch.setattr(reading, "STEP", 300)
    put(root, "text", b"0123456789" * 1000)
    put(root, "noise", os.urandom(5000))
    assert arrived(root, snap(root)) == contents(root)


def test_a_large_send_asks_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_module, "BIG", 1000)
    for i in range(7):
        put(root, f"f{i}", b"x" * (i * 100))
    with pytest.raises(AfieldError) as caught:
        snap(root)
    assert caught.value.code == "big"
    assert caught.value.why.startswith("the largest: f6")
    assert "f1" not in caught.value.why
    snap(root, big=True)
    put(root, "f1", b"y" * 100)
    assert snap(root).changed == 1


def test_counts(root: Path) -> None:
    for i in range(7):
        put(root, f"f{i}", b"x" * (i * 100))
    first = snap(root)
    assert (first.files, first.bytes, first.changed, first.first) == (7, 2100, 7, True)
    assert [name for name, _ in first.largest] == ["f6", "f5", "f4", "f3", "f2"]
    put(root, "f1", b"y" * 100)
    put(root, "new")
    (root / "f2").unlink()
    os.utime(root / "f3")
    second = snap(root)
    assert (second.files, second.changed, second.first) == (7, 3, False)
    assert snap(root) == Snapshot(**{f: getattr(second, f) for f in second.__slots__} | {"changed": 0})


def test_an_edit_in_the_same_instant_is_seen(root: Path) -> None:
    put(root, "f", b"aaa")
    times = (root / "f").stat()
    snap(root)
    put(root, "f", b"bbb")
    os.utime(root / "f", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert arrived(root, snap(root))[b"f"] == ("file", b"bbb")


def test_a_damaged_or_foreign_state_only_costs_time(root: Path) -> None:
    put(root, "f")
    first = snap(root)
    state = root.parent / "cache" / "shadow" / f"{first.workspace}.git" / "afield-state"
    whole = state.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40], b"x" * len(whole)):
        state.write_bytes(damaged)
        assert snap(root).tree == first.tree


def test_the_users_repository_is_not_touched(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "a")
    git(root, "add", "-A")
    os.utime(root / "a", (1, 1))
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (root / ".git").rglob("*") if p.is_file()}
    snap(root)
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (root / ".git").rglob("*") if p.is_file()}


def test_a_broken_repository_is_an_error_and_not_an_empty_snapshot(root: Path) -> None:
    git(root, "init", "-q")
    put(root, "a")
    git(root, "add", "-A")
    (root / ".git" / "index").write_bytes(b"nonsense")
    with pytest.raises(AfieldError) as caught:
        snap(root)
    assert caught.value.code == "git-failed"
    assert "index" in caught.value.why


def test_variables_of_a_git_hook_do_not_mislead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root, "init", "-q")
    put(root, "a")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    assert snap(root).files == 1


def test_without_the_program_git_it_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(AfieldError) as caught:
        snap(root)
    assert caught.value.code == "git-missing"


def test_an_empty_workspace_is_a_snapshot(root: Path) -> None:
    assert arrived(root, snap(root)) == {}


def test_diff_of_two_snapshots(root: Path) -> None:
    put(root, "a.py", b"one\n")
    old = snap(root)
    put(root, "a.py", b"two\n")
    new = snap(root)
    text = diff(root.parent / "cache", old.workspace, old.tree, new.tree)
    assert b"-one\n+two\n" in text
    assert diff(root.parent / "cache", old.workspace, new.tree, new.tree) == b""
    with pytest.raises(AfieldError) as caught:
        diff(root.parent / "cache", old.workspace, "0" * 40, new.tree)
    assert caught.value.code == "snapshot-missing"


def test_roots(root: Path) -> None:
    put(root, "a/b/c/f")
    assert find_root(root / "a" / "b") == (root / "a" / "b", "")
    git(root / "a", "init", "-q")
    assert find_root(root / "a" / "b" / "c") == (root / "a", "b/c")
    (root / "afield.toml").touch()
    assert find_root(root / "a" / "b" / "c") == (root, "a/b/c")


def test_home_and_slash_are_refused_but_not_a_project_below_a_home_under_git(root: Path) -> None:
    home = root.parent / "home"
    for refused in (home, Path("/")):
        with pytest.raises(AfieldError) as caught:
            find_root(refused)
        assert caught.value.code == "root-refused"
    git(home, "init", "-q")
    put(home, ".gitignore", b"*\n")
    put(home, "project/a.py")
    assert find_root(home / "project") == (home / "project", "")
    assert set(arrived(root, take(home / "project", cache=root.parent / "cache"))) == {b"a.py"}


def test_threads_of_one_process_may_take_at_the_same_time(root: Path) -> None:
    count = 8
    for number in range(30):
        put(root, f"file{number}", b"%d" % number)
    start = threading.Barrier(count)

    def one(_: int) -> str:
        start.wait()
        return snap(root).tree

    with ThreadPoolExecutor(count) as pool:
        for attempt in range(10):
            put(root, "edited", b"%d" % attempt)
            assert len(set(pool.map(one, range(count)))) == 1
    assert contents(root)[b"edited"][1] == b"9"
