"""Every worker of a job, on four real hosts: what it is given, what is shown of it, how it fails, how it is reached."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.hosts import Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until


@pytest.fixture(scope="module")
def four(needs_sshd: None) -> Iterator[Hosts]:
    with Hosts(count=4, users=os.geteuid() == 0) as made:
        yield made


@pytest.fixture(scope="module")
def shared(four: Hosts) -> Iterator[Sandbox]:
    """An afield with the four hosts as nodes; each test has a project folder of its own in it."""
    with Sandbox(ssh_config=four.ssh_config) as sandbox:
        assert sandbox.afield("node", "set", "local", "drained=true").returncode == 0
        for host in four:
            done = sandbox.afield("node", "add", host.name)
            assert done.returncode == 0, done.stderr
            assert sandbox.afield("node", "set", host.name, "devices=1:chip").returncode == 0
        yield sandbox


@pytest.fixture
def pod(shared: Sandbox) -> Iterator[Sandbox]:
    shared.project = Path(tempfile.mkdtemp(prefix="project-", dir=shared.root))
    (shared.project / "afield.toml").write_text('request = "4:[chip]"\nenvironment = "none"\ngrace = "1s"\n')
    yield shared
    left = [str(job["number"]) for job in json.loads(shared.afield("ps", "--json").stdout)["jobs"]]
    assert not left or shared.afield("stop", *left).returncode == 0


def newest(sandbox: Sandbox) -> int:
    return int(str(view(sandbox)["number"]))


def view(sandbox: Sandbox, job: int | str = "@last") -> dict[str, object]:
    found = json.loads(sandbox.afield("show", str(job), "--json").stdout)["job"]
    assert isinstance(found, dict)
    return found


def by_worker(out: bytes) -> dict[str, list[str]]:
    """The lines of each mark."""
    found: dict[str, list[str]] = {}
    for line in out.decode().splitlines():
        mark, _, text = line.partition(" ")
        found.setdefault(mark, []).append(text)
    return found


def test_every_worker_gets_the_words_as_they_are_and_its_own_number(pod: Sandbox) -> None:
    (pod.project / "main.py").write_text(
        "import json, os, sys\n"
        "names = ('AFIELD_WORKER', 'AFIELD_WORKERS', 'TP_ASIC_WORKER', 'AFIELD_NODE', 'TP_ASIC_NAME')\n"
        "print(json.dumps([sys.argv[1:], *(os.environ[name] for name in names)]))\n"
    )
    done = pod.afield("run", "main.py", "a", "b c")
    assert done.returncode == 0, done.stderr
    told = {mark: json.loads(lines[0]) for mark, lines in by_worker(done.stdout).items()}
    assert set(told) == {f"[w{n}]" for n in range(4)}
    assert all(words == ["a", "b c"] for words, *_ in told.values())
    assert [told[f"[w{n}]"][1:4] for n in range(4)] == [[str(n), "4", str(n)] for n in range(4)]
    assert len({node for _, _, _, _, node, _ in told.values()}) == 4
    assert all(node == name for _, _, _, _, node, name in told.values())


def test_the_worker_that_fails_is_named_and_the_others_are_stopped_for_it(pod: Sandbox) -> None:
    program = "echo up; while [ ! -e fail ]; do sleep 0.1; done; echo bad shard >&2; exit 7"
    with pod.start("run", "--", "sh", "-c", program) as command:
        wait_until(lambda: pod.afield("logs", "@last").stdout.count(b"up") == 4, show=pod.story)
        assert pod.afield("exec", "-w", "2", "--", "touch", "fail").returncode == 0
        _, err = command.communicate(timeout=60)
    text = err.decode()
    assert command.returncode == 7, text
    processes = {row["rank"]: row["node"] for row in view(pod)["attempts"][-1]["processes"]}  # type: ignore[index]
    rows = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["w2", processes[2], "7", "failed first", "bad shard"] in cells, text
    assert ["w0-1,w3", "3 nodes", "143", "stopped because w2 failed"] in cells, text
    assert f"process 2 on {processes[2]}: exit code 7" in text
    shown = pod.afield("show", "@last").stdout.decode()
    assert f"  process 2 on {processes[2]}: exit code 7  <- ended the attempt" in shown


def test_what_is_shown_is_chosen_and_all_is_stored(pod: Sandbox) -> None:
    program = "echo from $AFIELD_WORKER; echo trouble $AFIELD_WORKER >&2; echo same"
    done = pod.afield("run", "--stream", "0", "--", "sh", "-c", program)
    assert (done.returncode, done.stdout) == (0, b"from 0\nsame\n"), done.stderr
    assert b"trouble 0" in done.stderr
    assert b"trouble 1" not in done.stderr
    everything = by_worker(pod.afield("logs", "@last", "--stream", "all").stdout)
    assert everything == {f"[w{n}]": [f"from {n}", "same"] for n in range(4)}
    some = by_worker(pod.afield("logs", "@last", "--stream", "1,3,out", "--grep", "^fr.m").stdout)
    assert some == {"[w1]": ["from 1"], "[w3]": ["from 3"]}
    folded = pod.afield("logs", "@last", "--fold")
    assert folded.stdout.decode().splitlines().count("[w0-3] same") == 1
    assert {line for line in folded.stdout.decode().splitlines() if "from" in line} == {
        f"[w{n}] from {n}" for n in range(4)
    }
    refused = pod.afield("logs", "@last", "--stream", "4")
    assert refused.returncode == 2
    assert b"0 to 3" in refused.stderr
    assert pod.afield("logs", "@last", "--grep", "(").returncode == 2


def test_variables_reach_setup_preflight_exec_and_the_program_with_their_blanks(pod: Sandbox) -> None:
    (pod.project / "afield.toml").write_text(
        'request = "4:[chip]"\nenvironment = "none"\ngrace = "1s"\n'
        """setup = 'printf "%s|%s" "$X" "$AFIELD_WORKER" > "$USER_DIR/setup.X"'\n"""
        """preflight = 'printf "%s|%s" "$X" "$TP_ASIC_WORKER" > preflight.X'\n"""
        '[env]\nX = "1  2"\n'
    )
    told = 'echo "$X|$AFIELD_WORKER" $(cat "$USER_DIR/setup.X"; echo; cat preflight.X)'
    started = pod.afield("run", "-d", "--", "sh", "-c", f"{told}; exec sleep 600")
    assert started.returncode == 0, started.stderr
    number = int(started.stdout)
    wait_until(lambda: len(by_worker(pod.afield("logs", str(number)).stdout)) == 4, show=pod.story)
    seen = by_worker(pod.afield("logs", str(number)).stdout)
    assert seen == {f"[w{n}]": [f"1  2|{n} 1 2|{n} 1 2|{n}"] for n in range(4)}
    beside = pod.afield("exec", str(number), "--", "sh", "-c", 'echo "$X|$AFIELD_WORKER|$RANK"; cat preflight.X')
    assert beside.returncode == 0, beside.stderr
    assert by_worker(beside.stdout) == {f"[w{n}]": [f"1  2|{n}|{n}", f"1  2|{n}"] for n in range(4)}
    assert pod.afield("stop", str(number)).returncode == 0


def test_a_command_runs_on_the_worker_that_is_named(pod: Sandbox) -> None:
    number = int(pod.afield("run", "-d", "--", "sleep", "600").stdout)
    wait_until(lambda: view(pod, number)["phase"] == "running", show=pod.story)
    one = pod.afield("exec", "-w", "3", "--", "sh", "-c", "echo $AFIELD_WORKER")
    assert (one.returncode, one.stdout) == (0, b"3\n"), one.stderr
    some = pod.afield("exec", "-w", "1,2", str(number), "--", "sh", "-c", "echo $TP_ASIC_WORKER; exit $AFIELD_WORKER")
    assert (some.returncode, by_worker(some.stdout)) == (1, {"[w1]": ["1"], "[w2]": ["2"]}), some.stderr
    nodes = view(pod, number)["nodes"]
    assert isinstance(nodes, list)
    assert f"w2 ({nodes[2]}): exit code 2" in some.stderr.decode()
    missing = pod.afield("exec", f"job:{number}", "-w", "9", "--", "true")
    assert (missing.returncode, b"0 to 3" in missing.stderr) == (3, True)
    pid = pod.afield("exec", "-w", "0", "--", "sh", "-c", "echo $AFIELD_MARK").stdout
    assert pid == b"\n", "what runs beside a job is no part of it"
    inside = pod.afield("shell", "-w", "2", given=b'echo "worker $AFIELD_WORKER in $(pwd)"\nexit\n')
    assert b"worker 2 in " in inside.stdout
    assert f"/{number}.1/src".encode() in inside.stdout, inside.stdout
    assert pod.afield("stop", str(number)).returncode == 0
    nobody = pod.afield("exec", "-w", "3", "--", "true")
    assert (nobody.returncode, b"no job runs" in nobody.stderr) == (2, True)


def test_a_command_on_nodes_has_the_variables_of_the_project(pod: Sandbox) -> None:
    (pod.project / "afield.toml").write_text('[env]\nX = "1  2"\nY = "of the file"\n')
    words = ("--", "sh", "-c", 'echo "$X|$Y|$HERE"')
    done = pod.afield("exec", "-n", "box1", "-e", "Y=said", *words)
    assert (done.returncode, done.stdout) == (0, b"1  2|said|\n"), done.stderr
    pod.env["HERE"] = "passed on"
    try:
        passed = pod.afield("exec", "-n", "box1", "-e", "HERE", *words)
    finally:
        del pod.env["HERE"]
    assert passed.stdout == b"1  2|of the file|passed on\n", passed.stderr
    for word in ("=3", "NOT_SET_HERE"):
        wrong = pod.afield("exec", "-n", "box1", "-e", word, "--", "true")
        assert (wrong.returncode, b"try: -e " in wrong.stderr) == (2, True), wrong.stderr


def test_named_nodes_are_workers_in_the_order_they_are_named(pod: Sandbox) -> None:
    words = ("-n", "box4,node:box2", "-n", "box1", "--request", "3:[chip]", "--", "sh", "-c", "echo $AFIELD_NODE")
    done = pod.afield("run", *words)
    assert done.returncode == 0, done.stderr
    assert by_worker(done.stdout) == {"[w0]": ["box4"], "[w1]": ["box2"], "[w2]": ["box1"]}
    nobody = pod.afield("run", "-n", "", "--", "true")
    assert (nobody.returncode, b"has an empty name" in nobody.stderr) == (2, True), nobody.stderr


def test_named_nodes_are_workers_of_a_command(pod: Sandbox, four: Hosts) -> None:
    names = [host.name for host in four]
    done = pod.afield("exec", "-n", ",".join(names), "--", "sh", "-c", "echo $AFIELD_WORKER of $AFIELD_WORKERS")
    assert done.returncode == 0, done.stderr
    assert by_worker(done.stdout) == {f"[{name}]": [f"{n} of 4"] for n, name in enumerate(names)}


def test_a_failed_preflight_starts_no_program_and_names_the_worker(pod: Sandbox) -> None:
    started = "echo started"
    done = pod.afield("run", "--preflight", 'test "$AFIELD_WORKER" != 1', "--", "sh", "-c", started)
    assert done.returncode == 7, done.stderr
    assert done.stdout == b""
    nodes = view(pod)["nodes"]
    assert isinstance(nodes, list)
    assert f"exit code 1 on worker 1 ({nodes[1]})" in done.stderr.decode()
    assert b"started" not in pod.afield("logs", "@last").stdout
    skipped = pod.afield("run", "--no-preflight", "--preflight", "exit 1", "--", "sh", "-c", started)
    assert (skipped.returncode, skipped.stdout.count(b"started")) == (0, 4), skipped.stderr


def test_files_of_several_workers_are_asked_for_by_worker(pod: Sandbox) -> None:
    done = pod.afield("run", "--", "sh", "-c", 'echo "from $AFIELD_WORKER" > f')
    assert done.returncode == 0, done.stderr
    number = newest(pod)
    for words in (("pull", f"{number}:src/f", "out"), ("push", "afield.toml", f"{number}:keep/")):
        refused = pod.afield(*words)
        assert (refused.returncode, b"-w all" in refused.stderr, b"3 on " in refused.stderr) == (2, True, True)
    assert pod.afield("pull", "-w", "2,3", f"{number}:src/f", "out").returncode == 0
    assert (pod.project / "w2/out").read_text() == "from 2\n"
    assert (pod.project / "w3/out").read_text() == "from 3\n"
    assert not (pod.project / "w0").exists()
    (pod.project / "here").mkdir()
    assert pod.afield("pull", "--all", f"{number}:src/f", "here").returncode == 0
    assert [(pod.project / f"here/w{n}/f").read_text() for n in range(4)] == [f"from {n}\n" for n in range(4)]
    assert pod.afield("push", "-w", "1", "afield.toml", f"{number}:keep/").returncode == 0
    listed = by_worker(pod.afield("exec", str(number), "--", "sh", "-c", "ls $KEEP_DIR; echo end").stdout)
    assert {mark: lines[:-1] for mark, lines in listed.items()} == {
        "[w0]": [],
        "[w1]": ["afield.toml"],
        "[w2]": [],
        "[w3]": [],
    }


@pytest.mark.parametrize("word", ["../beside2/main.py", "../outside.py"])
def test_a_program_outside_of_the_folder_is_refused_before_anything_is_sent(pod: Sandbox, word: str) -> None:
    here = pod.project / "beside"
    here.mkdir()
    (pod.project / "afield.toml").rename(here / "afield.toml")
    outside = here / word
    outside.parent.mkdir(exist_ok=True)
    outside.write_text("print('outside')")
    pod.project = here
    before = newest(pod)
    done = pod.afield("run", word)
    assert done.returncode == 2, done.stderr
    assert b"is outside of what is sent" in done.stderr
    assert newest(pod) == before
    absolute = pod.afield("run", str(here / "afield.toml").replace("afield.toml", "main.py"))
    assert (absolute.returncode, b"machine's copy" in absolute.stderr) == (2, True)


def test_only_what_belongs_there_arrives_and_what_is_removed_goes(pod: Sandbox) -> None:
    (pod.project / ".afieldignore").write_text("*.secret\nbig/\n")
    (pod.project / "big").mkdir()
    for name in ("a.txt", "b.txt", "c.secret", "big/blob"):
        (pod.project / name).write_text(name)
    listing = ("--", "sh", "-c", "find . -type f | sort | tr '\\n' ' '; echo")
    first = by_worker(pod.afield("run", *listing).stdout)
    assert set(first) == {f"[w{n}]" for n in range(4)}
    assert {line for lines in first.values() for line in lines} == {"./.afieldignore ./a.txt ./afield.toml ./b.txt "}
    (pod.project / "b.txt").unlink()
    second = by_worker(pod.afield("run", *listing).stdout)
    assert {line for lines in second.values() for line in lines} == {"./.afieldignore ./a.txt ./afield.toml "}


def test_no_sync_runs_the_code_of_the_last_job_and_sends_nothing(pod: Sandbox) -> None:
    (pod.project / "main.py").write_text("print('first')\n")
    refused = pod.afield("run", "--no-sync", "main.py")
    assert (refused.returncode, b"no job has run" in refused.stderr) == (2, True)
    assert pod.afield("run", "main.py").returncode == 0
    code = view(pod)["snapshot"]
    (pod.project / "main.py").write_text("print('second')\n")
    again = pod.afield("run", "--no-sync", "main.py")
    assert (again.returncode, again.stdout.decode().count("first")) == (0, 4), again.stderr
    assert view(pod)["snapshot"] == code
    assert b"sent what differs" not in again.stderr
    assert b"sent whole" not in again.stderr
    now = pod.afield("run", "main.py")
    assert now.stdout.decode().count("second") == 4, now.stderr


def test_a_job_that_was_left_is_still_told_of_after_its_connections_were_cut(pod: Sandbox, four: Hosts) -> None:
    started = pod.afield("run", "-d", "--", "sh", "-c", "echo early; while [ ! -e go ]; do sleep 0.1; done; echo late")
    number = started.stdout.decode().strip()
    wait_until(lambda: pod.afield("logs", number).stdout.count(b"early") == 4, show=pod.story)
    for host in four:
        host.cut()
    follower = pod.start("logs", number, "-f")
    assert pod.afield("exec", number, "--", "touch", "go").returncode == 0
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert by_worker(out) == {f"[w{n}]": ["early", "late"] for n in range(4)}


def test_a_flag_beats_the_file_an_unknown_key_is_refused_and_each_value_has_its_origin(pod: Sandbox) -> None:
    (pod.project / "afield.toml").write_text('name = "of the file"\nrequest = "[chip]"\n\n[env]\nA = "1"\n')
    assert pod.afield("run", "--", "true").returncode == 0
    assert view(pod)["name"] == "of the file"
    assert pod.afield("run", "--name", "of the flag", "--", "true").returncode == 0
    assert view(pod)["name"] == "of the flag"
    rows = [line.split("\t") for line in pod.afield("config").stdout.decode().splitlines()]
    told = {row[0]: row[1:] for row in rows}
    assert told["name"] == ["of the file", f"{pod.project}/afield.toml:1"]
    assert told["env.A"] == ["1", f"{pod.project}/afield.toml:5"]
    assert told["grace"][1] == "default"
    (pod.project / "afield.toml").write_text('nmae = "x"\n')
    refused = pod.afield("run", "--", "true")
    assert (refused.returncode, b"did you mean name?" in refused.stderr) == (2, True)
    assert b"afield.toml:1" in refused.stderr


def test_another_file_of_settings_takes_the_place_of_the_projects(pod: Sandbox) -> None:
    (pod.project / "afield.toml").write_text('name = "small"\npriority = 3\n')
    (pod.project / "pods").mkdir()
    (pod.project / "pods/large.toml").write_text('name = "large"\nrequest = "4:[chip]"\n')
    done = pod.afield("run", "--file", "pods/large.toml", "--environment", "none", "--", "pwd")
    assert (done.returncode, done.stdout.count(b"/src\n")) == (0, 4), done.stderr
    assert (view(pod)["name"], view(pod)["priority"]) == ("large", 0)
    told = pod.afield("config", "--file", "pods/large.toml", "show", "name", "priority").stdout.decode().splitlines()
    assert sorted(line.split("\t") for line in told[1:]) == [
        ["name", "large", f"{pod.project}/pods/large.toml:1"],
        ["priority", "0", "default"],
    ]
    missing = pod.afield("run", "--file", "pods/none.toml", "--", "true")
    assert (missing.returncode, b"there is no file" in missing.stderr) == (2, True), missing.stderr


def test_a_setup_that_is_done_is_done_again_when_that_is_asked_for(pod: Sandbox) -> None:
    (pod.project / "afield.toml").write_text("setup = 'echo done >> \"$SHARED_DIR/again.log\"'\n")
    run = ("run", "-n", "box1")
    for words in (run, run, (*run, "--setup-again"), run):
        assert pod.afield(*words, "--", "true").returncode == 0, pod.story()
    assert pod.afield("cat", "box1:shared:again.log").stdout == b"done\ndone\n"
    (pod.project / "afield.toml").write_text("")
    nothing = pod.afield(*run, "--setup-again", "--", "true")
    assert (nothing.returncode, b"there is no setup" in nothing.stderr) == (2, True), nothing.stderr


def test_several_folders_are_one_snapshot(pod: Sandbox) -> None:
    common = pod.root / "elsewhere" / "common"
    common.mkdir(parents=True, exist_ok=True)
    (common / "__init__.py").write_text("WORD = 'shared'\n")
    (common / ".afieldignore").write_text("*.tmp\n")
    (common / "left.tmp").write_text("x")
    (pod.project / "main.py").write_text("import os, common\nprint(common.WORD, sorted(os.listdir('common')))\n")
    (pod.project / "afield.toml").write_text('request = "4:[chip]"\ndirs = ["../elsewhere/common"]\n')
    first = pod.afield("run", "main.py")
    assert first.returncode == 0, first.stderr
    lines = {line for lines in by_worker(first.stdout).values() for line in lines}
    assert len(lines) == 1
    assert lines.pop().startswith("shared ['.afieldignore', '__init__.py'")
    tree = view(pod)["snapshot"]
    (common / "__init__.py").write_text("WORD = 'changed'\n")
    second = pod.afield("run", "main.py")
    assert second.stdout.decode().count("changed") == 4, second.stderr
    assert view(pod)["snapshot"] != tree
    named = pod.afield("run", "--dir", f"lib={common}", "--", "sh", "-c", "cat lib/__init__.py; test ! -e common")
    assert (named.returncode, named.stdout.decode().count("changed")) == (0, 4), named.stderr
    clash = pod.afield("run", "--dir", f"main.py={common}", "main.py")
    assert (clash.returncode, b"the workspace has that already" in clash.stderr) == (2, True)
