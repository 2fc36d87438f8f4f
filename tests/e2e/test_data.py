"""Data to and from real hosts: whole or not at all, gone on from after a cut, names and times as they are."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

MB = 1 << 20
ODD = os.fsdecode(b"caf\xe9 'q' $x\n.bin")


@pytest.fixture
def no_rsync(sandbox: Sandbox) -> None:
    """An rsync on our side that is too old to be used."""
    tools = sandbox.root / "tools"
    tools.mkdir()
    (tools / "rsync").write_text("#!/bin/sh\necho 'rsync  version 2.6.9'\n")
    (tools / "rsync").chmod(0o755)
    sandbox.env["PATH"] = f"{tools}:{sandbox.env['PATH']}"


def area(host: Host, sandbox: Sandbox) -> Path:
    """The area `home` of the sandbox's user on a host."""
    return Path(json.loads(sandbox.afield("ls", f"{host.name}:", "--json").stdout)["places"][0]["path"])


def make_tree(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / ODD).write_bytes(bytes(range(256)))
    (folder / "deep" / "run.sh").write_text("echo hi\n")
    (folder / "deep" / "run.sh").chmod(0o755)
    (folder / "deep" / "up").symlink_to("../empty")
    (folder / "nothing").touch()
    with (folder / "sparse").open("wb") as file:
        file.truncate(64 * MB)
        file.seek(40 * MB + 7)
        file.write(b"here")
    os.utime(folder / "nothing", ns=(10**18, 10**18 + 123456789))
    os.utime(folder / "deep", ns=(10**18, 10**18))


def told(folder: Path) -> dict[bytes, tuple[int, int, object]]:
    """Each thing below a folder with its mode, time and content."""
    found: dict[bytes, tuple[int, int, object]] = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        for name in [*folders, *names]:
            path = os.path.join(place, name)
            status = os.lstat(path)
            key = os.path.relpath(path, os.fsencode(folder))
            if stat.S_ISLNK(status.st_mode):
                found[key] = (0, 0, os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[key] = (status.st_mode, status.st_mtime_ns, None)
            else:
                found[key] = (status.st_mode, status.st_mtime_ns, Path(os.fsdecode(path)).read_bytes())
    return found


@pytest.mark.parametrize("rsync", [True, False])
def test_a_folder_goes_there_and_comes_back_as_it_was(
    rsync: bool, request: pytest.FixtureRequest, sandbox: Sandbox, host: Host
) -> None:
    if not rsync:
        request.getfixturevalue("no_rsync")
    make_tree(sandbox.project / "d")
    done = sandbox.afield("push", "d", f"{host.name}:data/")
    assert done.returncode == 0, done.stderr
    there = area(host, sandbox) / "data" / "d"
    assert told(there) == told(sandbox.project / "d")
    assert (there / "sparse").stat().st_blocks * 512 < 4 * MB
    again = json.loads(sandbox.afield("push", "d", f"{host.name}:data/", "--json").stdout)["pushed"][0]
    assert (again["files"], again["kept"]) == (0, 4)
    done = sandbox.afield("pull", f"{host.name}:data/d", "back")
    assert done.returncode == 0, done.stderr
    back = {
        path: (mode if data is not None else 0, when if data is not None else 0, data)
        for path, (mode, when, data) in told(sandbox.project / "back").items()
    }
    want = {
        path: (mode if data is not None else 0, when if data is not None else 0, data)
        for path, (mode, when, data) in told(there).items()
    }
    assert back == want
    assert (sandbox.project / "back" / "sparse").stat().st_blocks * 512 < 4 * MB


def test_where_things_go_is_as_with_cp(sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "a b.txt").write_text("one")
    (sandbox.project / "c").write_text("two")
    for words in (
        ("a b.txt", f"{host.name}:x/"),
        ("a b.txt", f"{host.name}:name"),
        ("a b.txt", "c", f"{host.name}:many"),
        ("c", f"{host.name}:x"),
        ("c", f"{host.name}:~/in-home"),
        ("c", f"{host.name}:{host.home}/abs/"),
        ("c", "shared:"),
    ):
        done = sandbox.afield("push", *words)
        assert done.returncode == 0, done.stderr
    home = area(host, sandbox)
    names = sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())
    assert names == ["many/a b.txt", "many/c", "name", "x/a b.txt", "x/c"]
    assert (host.home / "in-home").read_text() == (host.home / "abs/c").read_text() == "two"
    listed = sandbox.afield("ls", "-R", f"{host.name}:x").stdout.decode()
    assert [line.split("  ")[-1] for line in listed.splitlines()] == ["a b.txt", "c"]
    assert sandbox.afield("cat", f"{host.name}:name").stdout == b"one"
    seen = sandbox.afield("run", "-n", host.name, "--", "sh", "-c", 'cat "$USER_DIR/name" "$SHARED_DIR/c"')
    assert seen.stdout == b"onetwo"


def test_a_changed_file_is_replaced_there_and_moved_aside_here(sandbox: Sandbox, host: Host) -> None:
    file = sandbox.project / "f"
    file.write_text("old")
    sandbox.afield("push", "f", f"{host.name}:")
    file.write_text("newer")
    assert sandbox.afield("push", "f", f"{host.name}:").returncode == 0
    assert (area(host, sandbox) / "f").read_text() == "newer"
    file.write_text("mine, longer")
    assert sandbox.afield("pull", f"{host.name}:f", ".").returncode == 0
    assert (file.read_text(), (sandbox.project / "f.~1~").read_text()) == ("newer", "mine, longer")
    file.write_text("mine")
    assert sandbox.afield("pull", "--replace", f"{host.name}:f", ".").returncode == 0
    assert sorted(p.name for p in sandbox.project.iterdir()) == ["f", "f.~1~"]


def test_modes_are_carried_where_nothing_else_differs(sandbox: Sandbox, host: Host) -> None:
    folder = sandbox.project / "tools"
    (folder / "inner").mkdir(parents=True, mode=0o755)
    for name in ("run.sh", "plain"):
        (folder / name).write_text("true\n")
        (folder / name).chmod(0o644)
    assert sandbox.afield("push", "tools", f"{host.name}:").returncode == 0
    there = area(host, sandbox) / "tools"
    before = (there / "run.sh").stat().st_ino
    (folder / "run.sh").chmod(0o755)
    (folder / "inner").chmod(0o750)
    done = sandbox.afield("push", "tools", f"{host.name}:")
    assert b"push mode of 1 file, 2 there already" in done.stderr, done.stderr
    modes = {p.name: p.stat().st_mode & 0o777 for p in there.iterdir()}
    assert modes == {"run.sh": 0o755, "plain": 0o644, "inner": 0o750}
    assert (there / "run.sh").stat().st_ino == before, "it was not sent again"
    assert b"push nothing new, 2 there already" in sandbox.afield("push", "tools", f"{host.name}:").stderr
    (folder / "plain").chmod(0o444)
    one = sandbox.afield("push", "tools/plain", f"{host.name}:tools/renamed")
    assert one.returncode == 0, one.stderr
    (folder / "plain").chmod(0o555)
    assert b"push mode of 1 file, 1 there" in sandbox.afield("push", "tools/plain", f"{host.name}:tools/renamed").stderr
    assert (there / "renamed").stat().st_mode & 0o777 == 0o555


def _part(folder: Path) -> Path | None:
    return next(folder.glob(".big.*.afpart"), None) if folder.is_dir() else None


@pytest.mark.usefixtures("no_rsync")
@pytest.mark.parametrize("how", ["killed", "cut"])
def test_a_cut_push_leaves_no_name_and_is_gone_on_from(how: str, sandbox: Sandbox, host: Host) -> None:
    big = sandbox.project / "big"
    big.write_bytes(os.urandom(MB) * 300)
    sandbox.afield("push", "big", f"{host.name}:first")
    folder = area(host, sandbox) / "into"
    with sandbox.start("push", "big", f"{host.name}:into/") as command:
        part = wait_until(lambda: (p := _part(folder)) and p.stat().st_size > 8 * MB and p, show=sandbox.story)
        if how == "killed":
            command.kill()
        else:
            host.cut()
        _, err = command.communicate(timeout=60)
    assert command.returncode in ((-9,) if how == "killed" else (6,)), err
    assert not (folder / "big").exists()
    kept, number = part.stat().st_size, part.stat().st_ino
    assert kept < 300 * MB
    done = sandbox.afield("push", "big", f"{host.name}:into/")
    assert done.returncode == 0, done.stderr
    assert (folder / "big").read_bytes() == big.read_bytes()
    assert (folder / "big").stat().st_ino == number
    assert sorted(p.name for p in folder.iterdir()) == ["big"]


@pytest.mark.usefixtures("no_rsync")
def test_a_cut_pull_leaves_no_name_and_is_gone_on_from(sandbox: Sandbox, host: Host) -> None:
    big = sandbox.project / "big"
    big.write_bytes(os.urandom(MB) * 300)
    assert sandbox.afield("push", "big", f"{host.name}:").returncode == 0
    folder = sandbox.project / "home"
    with sandbox.start("pull", f"{host.name}:big", "home/") as command:
        part = wait_until(lambda: (p := _part(folder)) and p.stat().st_size > 8 * MB and p, show=sandbox.story)
        host.cut()
        _, err = command.communicate(timeout=60)
    assert command.returncode == 6, err
    assert not (folder / "big").exists()
    number = part.stat().st_ino
    assert sandbox.afield("pull", f"{host.name}:big", "home/").returncode == 0
    assert (folder / "big").read_bytes() == big.read_bytes()
    assert (folder / "big").stat().st_ino == number
    assert sorted(p.name for p in folder.iterdir()) == ["big"]


def test_links_that_leave_are_refused_by_name_before_anything_is_sent(sandbox: Sandbox, host: Host) -> None:
    folder = sandbox.project / "d"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "away").symlink_to("/etc/hostname")
    done = sandbox.afield("push", "d", f"{host.name}:")
    assert done.returncode == 2, done.stderr
    assert b"away" in done.stderr
    assert sandbox.afield("ls", f"{host.name}:d").returncode == 3
    (folder / "away").unlink()
    sandbox.afield("push", "d", f"{host.name}:")
    (area(host, sandbox) / "d" / "trap").symlink_to("/etc/hostname")
    done = sandbox.afield("pull", f"{host.name}:d", "back")
    assert done.returncode == 0, done.stderr
    assert b"left out: trap" in done.stderr
    assert sorted(p.name for p in (sandbox.project / "back").iterdir()) == ["file"]


@pytest.mark.parametrize("size", [10, 3 * MB])
def test_one_unreadable_file_there_is_named_and_all_else_comes(size: int, sandbox: Sandbox, host: Host) -> None:
    folder = sandbox.project / "d"
    (folder / "shut").mkdir(parents=True)
    for name in ("a", "secret", "shut/in", *(f"z{number}" for number in range(6))):
        (folder / name).write_bytes(os.urandom(size))
    assert sandbox.afield("push", "d", f"{host.name}:").returncode == 0
    there = area(host, sandbox) / "d"
    (there / "secret").chmod(0)
    (there / "shut").chmod(0)
    back = sandbox.project / "back" / "d"
    back.parent.mkdir()
    done = sandbox.afield("pull", f"{host.name}:d", "back")
    assert done.returncode == 1, done.stderr
    said = done.stderr.decode()
    assert re.search(r"✓ pull 7 files, .* → back/d/, ", said), said
    assert re.search(r"error: 2 files could not be read.*\n  why: .*\n  try: ", said), said
    assert "secret: Permission denied" in said
    assert "shut: " in said
    assert sorted(p.name for p in back.iterdir()) == ["a", *(f"z{number}" for number in range(6))]
    again = sandbox.afield("pull", f"{host.name}:d", "back", "--json")
    row = json.loads(again.stdout)["pulled"][0]
    assert (again.returncode, row["files"], row["kept"]) == (1, 0, 7)
    assert sorted(one["path"] for one in row["closed"]) == ["secret", "shut"]
    for words in (("pull", f"{host.name}:d/secret"), ("cat", f"{host.name}:d/secret")):
        one = sandbox.afield(*words)
        assert (one.returncode, b"Permission denied" in one.stderr) == (4, True), one.stderr
    (there / "secret").chmod(0o600)
    (there / "shut").chmod(0o700)
    assert sandbox.afield("pull", f"{host.name}:d", "back").returncode == 0
    assert told(back).keys() == told(folder).keys()


def test_an_unreadable_result_is_named_by_run_and_by_pull(sandbox: Sandbox, host: Host) -> None:
    program = "mkdir -p $OUTPUT_DIR; cd $OUTPUT_DIR; echo a > a; echo b > b; chmod 0 b"
    done = sandbox.afield("run", "-n", host.name, "--", "sh", "-c", program)
    assert (done.returncode, "left on the node: b (Permission denied)" in done.stderr.decode()) == (0, True), (
        done.stderr
    )
    for destination in ([], ["-o", "elsewhere"]):
        done = sandbox.afield("pull", "@last", *destination)
        assert (done.returncode, b"b: Permission denied" in done.stderr) == (1, True), done.stderr
    assert [p.name for p in (sandbox.project / "elsewhere").iterdir()] == ["a"]


def test_one_unreadable_file_here_is_named_and_all_else_goes(sandbox: Sandbox, host: Host) -> None:
    folder = sandbox.project / "d"
    (folder / "shut").mkdir(parents=True)
    for name in ("a", "secret", "shut/in", "z"):
        (folder / name).write_text(name)
    (folder / "secret").chmod(0)
    (folder / "shut").chmod(0)
    done = unprivileged(sandbox, "push", "d", f"{host.name}:")
    assert done.returncode == 1, done.stderr
    assert b"push 2 files" in done.stderr
    assert b"secret: Permission denied; shut: Permission denied" in done.stderr
    assert sorted(p.name for p in (area(host, sandbox) / "d").iterdir()) == ["a", "z"]
    rows = json.loads(unprivileged(sandbox, "push", "d", f"{host.name}:", "--json").stdout)["pushed"]
    assert [one["path"] for one in rows[0]["closed"]] == ["secret", "shut"]
    alone = unprivileged(sandbox, "push", "d/secret", f"{host.name}:")
    assert (alone.returncode, b"d/secret cannot be read" in alone.stderr) == (4, True), alone.stderr


def unprivileged(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The command without root's right to read everything."""
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    program = str(Path(sys.executable).parent / "afield")
    return subprocess.run(
        [*drop, program, *words], cwd=sandbox.project, env=sandbox.env, capture_output=True, check=False, timeout=60
    )


def test_nothing_is_written_through_a_link_there(sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "d" / "sub").mkdir(parents=True)
    (sandbox.project / "d" / "sub" / "f").write_text("x")
    sandbox.afield("push", "d", f"{host.name}:e")
    home = area(host, sandbox)
    outside = host.home / "outside"
    outside.mkdir(mode=0o777)
    (home / "d").mkdir(mode=0o777)
    (home / "d" / "sub").symlink_to(outside)
    os.chown(home / "d", host.user.pw_uid, host.user.pw_gid)
    done = sandbox.afield("push", "d", f"{host.name}:")
    assert done.returncode == 2, done.stderr
    assert b"no folder" in done.stderr
    assert list(outside.iterdir()) == []


def test_all_nodes_and_all_workers(hosts: Hosts, sandbox: Sandbox, host: Host) -> None:
    other = hosts[1]
    assert sandbox.afield("node", "add", other.name).returncode == 0
    (sandbox.project / "t.json").write_text("{}")
    ambiguous = sandbox.afield("push", "t.json", "shared:")
    assert ambiguous.returncode == 2
    assert f"{host.name}, {other.name}".encode() in ambiguous.stderr
    assert sandbox.afield("push", "t.json", "--all", "shared:").returncode == 0
    assert sandbox.afield("ls", "--all", "shared:").stdout.count(b"t.json") == 3
    assert sandbox.afield("pull", "-n", host.name, "-n", other.name, "shared:t.json", ".").returncode == 0
    assert (sandbox.project / host.name / "t.json").exists()
    assert (sandbox.project / other.name / "t.json").exists()
    script = 'echo $RANK > "$KEEP_DIR/f"'
    done = sandbox.afield("run", "-n", host.name, "-n", other.name, "--request", "2:[cpu=2]", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    unclear = sandbox.afield("pull", "1:keep/f", "out")
    assert unclear.returncode == 2
    assert b"-w all" in unclear.stderr
    assert sandbox.afield("pull", "-w", "0,1", "1:keep/f", "out").returncode == 0
    assert [(sandbox.project / f"w{n}" / "out").read_text() for n in (0, 1)] == ["0\n", "1\n"]
    other.stop()
    try:
        done = sandbox.afield("push", "t.json", "--all", "shared:again/")
    finally:
        other.start()
    assert done.returncode == 6, done.stderr
    assert f"{other.name}: error".encode() in done.stderr
    assert sandbox.afield("ls", f"{host.name}:shared:again").stdout.count(b"t.json") == 1


def test_bad_words_say_what_would_be_right(sandbox: Sandbox) -> None:
    (sandbox.project / "f").write_text("x")
    for words, status in (
        (("push", "f"), 2),
        (("push", "missing", "local:"), 3),
        (("pull", "a", "b"), 2),
        (("pull", "local:missing"), 3),
        (("cat", "local:"), 3),
        (("ls", "local:../.."), 2),
        (("ls", "nowhere:"), 3),
        (("ls", "7:"), 3),
        (("push", "f", "local:1:x"), 2),
    ):
        done = sandbox.afield(*words)
        assert done.returncode == status, (words, done.stderr)
        assert done.stderr.startswith(b"error: "), done.stderr
