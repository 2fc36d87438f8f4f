"""Bad input: what / why / try, the right exit code, nothing stored, nothing half-made."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from afield.cli.app import root, run
from afield.cli.table import COMMANDS, NODE
from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox

WRONG: list[tuple[list[str], int, bytes]] = [
    (["rnu"], 2, b"afield run"),
    (["cancel", "3"], 2, b"afield stop"),
    (["node", "lss"], 2, b"afield node ls"),
    (["run", "--nod", "x", "true"], 2, b"--node"),
    (["run"], 2, b"afield run --help"),
    (["run", "--request", "2:[3:gpu", "--", "true"], 2, b"column"),
    (["run", "--request", "[mme=3G]", "--", "true"], 2, b"mem"),
    (["run", "--time", "soon", "--", "true"], 2, b"90m"),
    (["run", "-n", "locla", "--", "true"], 3, b"local"),
    (["run", "-n", "gpubox", "--", "true"], 3, b"afield node add gpubox"),
    (["show", "7"], 3, b"afield ps"),
    (["logs", "7"], 3, b"no job 7"),
    (["stop", "x"], 2, b"afield ps"),
    (["run", "--continue", "x", "--", "true"], 2, b"afield ps"),
    (["node", "show", "nothere"], 3, b"local"),
    (["node", "rm", "local"], 4, b"local"),
    (["node", "set", "local", "colour=red"], 2, b"colour"),
    (["node", "set", "local", "drained=maybe"], 2, b"drained=true"),
    (["node", "rm", "nope"], 3, b"afield node ls"),
    (["exec", "--", "true"], 2, b"--all"),
    (["run", "--request", "[64:h100]", "--", "true"], 5, b"h100"),
    (["run", "--request", "[cpu=100000]", "--", "true"], 5, b"100000 cores"),
    (["help", "nonsense"], 2, b"nonsense"),
    (["run", "-g", "-1", "--", "true"], 2, b"0 or more"),
    (["run", "--outputs", "/etc/*", "--", "true"], 2, b"OUTPUT_DIR"),
    (["run", "--outputs", "../x", "--", "true"], 2, b"OUTPUT_DIR"),
    (["run", "--file", "", "--", "true"], 2, b"--file"),
    (["stop", "9" * 30], 2, b"afield ps"),
    (["stop", "\uff11"], 2, b"afield ps"),
    (["logs", "1", "--rank", "-1"], 2, b"--rank"),
    (["node", "show", ""], 3, b"empty name"),
    (["node", "rm", ""], 3, b"empty name"),
    (["push", "", "local:x"], 3, b"there is no '' here"),
    (["pull", "local:/dev/null", "x"], 3, b"cannot be brought"),
    (["sync", "/", "local:x"], 2, b"/ is not mirrored"),
    (["sync", "python3 train.py"], 2, b"afield run -- python3 train.py"),
    (["fetch", "http://[::1/x", "-n", "local"], 2, b"https://"),
    (["fetch", "http://127.0.0.1:9/x", "-n", "local", "--sha256", "zz"], 2, b"64"),
    (["bundle", "-o", "no/such/x.tar.gz", "--", "true"], 2, b"there is no folder no/such"),
]
"""Words, the exit code, and what the error says beside."""


def test_two_cache_folders_and_one_server_are_refused_with_both_names(sandbox: Sandbox) -> None:
    (sandbox.project / "a.py").write_text("print(1)")
    assert sandbox.afield("run", "-q", "a.py").returncode == 0
    other = sandbox.root / "other-cache"
    sandbox.env["AFIELD_CACHE_DIR"] = str(other)
    done = sandbox.afield("run", "-q", "a.py")
    assert done.returncode == 2
    assert str(other).encode() in done.stderr
    assert f"AFIELD_CACHE_DIR={sandbox.cache}".encode() in done.stderr
    assert len(stored(sandbox)) == 1
    sandbox.env["AFIELD_RUNTIME_DIR"] = str(sandbox.home)
    assert sandbox.afield("logs", "1").stdout == b"1\n", "another runtime folder still finds the server"


def test_a_mistyped_script_has_its_neighbour_named(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text("print(1)")
    mistyped = sandbox.afield("run", "trian.py")
    assert (mistyped.returncode, b"did you mean train.py?" in mistyped.stderr) == (2, True), mistyped.stderr
    (sandbox.project / "src").mkdir()
    (sandbox.project / "src/train.py").write_text("print(1)")
    deeper = sandbox.afield("run", "src/trian.py")
    assert (deeper.returncode, b"did you mean src/train.py?" in deeper.stderr) == (2, True), deeper.stderr
    quoted = sandbox.afield("run", "python train.py")
    assert (quoted.returncode, b"is one word" in quoted.stderr) == (2, True), quoted.stderr


def test_a_jobs_name_is_no_target_but_its_number_is_said(sandbox: Sandbox) -> None:
    (sandbox.project / "a.py").write_text("print(1)")
    assert sandbox.afield("run", "-q", "--name", "wide", "a.py").returncode == 0
    done = sandbox.afield("logs", "wide")
    assert (done.returncode, b"1, which has that name" in done.stderr) == (2, True), done.stderr
    assert sandbox.afield("run", "-q", "--name", "wide", "a.py").returncode == 0
    assert b"2, 1, which have that name" in sandbox.afield("logs", "wide").stderr


def stored(sandbox: Sandbox) -> list[dict[str, object]]:
    jobs: list[dict[str, object]] = json.loads(sandbox.afield("ps", "--all", "--json").stdout)["jobs"]
    return jobs


@pytest.mark.parametrize(("words", "status", "hint"), WRONG)
def test_words(sandbox: Sandbox, words: list[str], status: int, hint: bytes) -> None:
    done = sandbox.afield(*words)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(b"error: ")
    assert hint in done.stderr, done.stderr
    assert b"Traceback" not in done.stderr
    assert stored(sandbox) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_has_closed(sandbox: Sandbox, closed: str) -> None:
    done = through_shell(sandbox, f"afield run -q -- sh -c 'echo said; exit 3' {closed}")
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else b"said\n")


def test_a_locale_that_knows_few_letters(sandbox: Sandbox) -> None:
    (sandbox.project / "größe.txt").write_text("x")
    assert sandbox.afield("push", "größe.txt", "local:sizes/").returncode == 0
    sandbox.env |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    listed = sandbox.afield("ls", "local:sizes")
    assert (listed.returncode, b"gr\\xf6\\xdfe.txt" in listed.stdout) == (0, True), listed.stderr
    assert sandbox.afield("run", "-q", "--", "true").returncode == 0


def test_a_folder_that_is_gone(sandbox: Sandbox) -> None:
    (sandbox.project / "gone").mkdir()
    done = through_shell(sandbox, "cd gone && rmdir ../gone && afield run -- true")
    assert (done.returncode, b"this folder is there no more" in done.stderr) == (2, True), done.stderr


def test_a_state_folder_that_cannot_be_made(sandbox: Sandbox) -> None:
    sandbox.env["AFIELD_STATE_DIR"] = "/proc/none"
    done = sandbox.afield("ps")
    assert (done.returncode, b"/proc/none" in done.stderr) == (1, True), done.stderr
    assert b"Traceback" not in done.stderr


def test_a_fault_of_ours_is_told_without_a_trace_unless_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(root, "main", fails)
    monkeypatch.delenv("AFIELD_DEBUG", raising=False)
    assert run(["ps"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: afield has a fault\n  why: RuntimeError: nobody thought of this (test_bad_input.py:")
    monkeypatch.setenv("AFIELD_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run(["ps"])


def through_shell(sandbox: Sandbox, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line of a shell in the project folder."""
    done = subprocess.run(["bash", "-c", line], cwd=sandbox.project, env=sandbox.env, capture_output=True, check=False)
    assert b"Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("name", [*COMMANDS, *(f"node {n}" for n in NODE)])
def test_every_command_has_help_and_refuses_unknown_options(sandbox: Sandbox, name: str) -> None:
    helped = sandbox.afield(*name.split(), "--help")
    assert helped.returncode == 0
    assert b"afield " in helped.stdout
    refused = sandbox.afield(*name.split(), "--no-such-option")
    assert refused.returncode == 2
    assert b"--no-such-option" in refused.stderr


def test_errors_are_json_where_json_was_asked(sandbox: Sandbox) -> None:
    done = sandbox.afield("show", "7", "--json")
    told = json.loads(done.stdout)
    assert (told["error"]["code"], told["error"]["exit"], told["source"]) == ("not-found", 3, "afield")


def test_an_unknown_key_in_the_project_file(sandbox: Sandbox) -> None:
    (sandbox.project / "afield.toml").write_text('nmae = "x"\ntime = "1h"\n')
    done = sandbox.afield("run", "--", "true")
    assert done.returncode == 2
    assert b"afield.toml" in done.stderr
    assert b"name" in done.stderr
    assert stored(sandbox) == []


def test_requirements_that_do_not_resolve_are_a_failed_setup(sandbox: Sandbox) -> None:
    (sandbox.project / "requirements.txt").write_text("no-such-package-of-ours==99.99\n")
    (sandbox.project / "train.py").write_text("print('never')\n")
    done = sandbox.afield("run", "train.py", within_s=120)
    assert done.returncode == 7, done.stderr
    assert b"no-such-package-of-ours" in done.stderr
    assert b"never" not in done.stdout
    assert stored(sandbox)[0]["phase"] == "setup_failed"


def test_a_failing_preflight_is_a_failed_setup(sandbox: Sandbox) -> None:
    done = sandbox.afield("run", "--preflight", "echo the disk is missing >&2; exit 3", "--", "echo", "never")
    assert done.returncode == 7, done.stderr
    assert b"the disk is missing" in done.stderr
    assert done.stdout == b""


def test_a_link_that_leaves_the_tree_is_refused(sandbox: Sandbox) -> None:
    (sandbox.project / "out").symlink_to("/etc/passwd")
    done = sandbox.afield("run", "--", "true")
    assert done.returncode == 2, done.stderr
    assert b"out" in done.stderr
    assert stored(sandbox) == []


def test_strange_names_arrive_as_they_are(sandbox: Sandbox) -> None:
    names = [b"new\nline", b"-dash", b"not-utf-8-\xff", b"  blanks  ", b"x" * 255]
    for name in names:
        with open(os.path.join(os.fsencode(sandbox.project), name), "wb") as file:
            file.write(name)
    program = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(sorted(os.listdir(b'.'))))"
    done = sandbox.afield("run", "-q", "--", "python3", "-c", program)
    assert done.stdout.split(b"\0") == sorted(names), done.stderr


def test_an_unreadable_file_is_named(sandbox: Sandbox) -> None:
    if os.geteuid() == 0:
        os.mkfifo(sandbox.project / "strange")
    else:
        (sandbox.project / "strange").write_text("x")
        (sandbox.project / "strange").chmod(0)
    done = sandbox.afield("run", "--", "true")
    assert b"strange" in done.stderr


def test_a_host_without_python(hosts: Hosts, sandbox: Sandbox) -> None:
    done = sandbox.afield("node", "add", "no-such-host.invalid")
    assert done.returncode == 6, done.stderr
    assert re.search(rb"why: .*", done.stderr)
    assert b"try: " in done.stderr


def test_a_home_that_cannot_be_written(hosts: Hosts, sandbox: Sandbox) -> None:
    host: Host = hosts[1]
    if host.user.pw_uid == 0:
        pytest.skip("root writes everywhere; the hosts have no users of their own here")
    before = set(host.home.iterdir())
    mode = host.home.stat().st_mode
    saved = [p for p in (host.home / ".afield",) if p.exists()]
    if saved:
        saved[0].rename(host.home / ".afield-saved")
    host.home.chmod(0o555)
    owner = host.home.stat()
    os.chown(host.home, 0, 0)
    try:
        done = sandbox.afield("node", "add", host.name)
    finally:
        os.chown(host.home, owner.st_uid, owner.st_gid)
        host.home.chmod(mode)
        if saved:
            (host.home / ".afield-saved").rename(saved[0])
    assert done.returncode == 6, done.stderr
    assert b"home" in done.stderr
    assert set(host.home.iterdir()) == before


def test_a_store_of_a_newer_afield_is_refused(sandbox: Sandbox) -> None:
    import sqlite3

    sandbox.afield("ps")
    sandbox.afield("ps")
    pids = [p.pid for p in sandbox.processes()]
    for pid in pids:
        os.kill(pid, 9)
    path = next(Path(sandbox.state).glob("**/store.db"))
    with sqlite3.connect(path) as database:
        changed = database.execute("update about set value = '999' where name = 'schema'").rowcount
    if not changed:
        pytest.fail("the schema's version is not where this test looks for it")
    done = sandbox.afield("ps")
    assert done.returncode != 0
    assert b"newer" in done.stderr
