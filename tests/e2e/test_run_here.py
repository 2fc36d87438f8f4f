"""The main path on this machine, from outside: the installed command in a fresh folder with nothing configured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until


def view(sandbox: Sandbox, job: int) -> dict[str, object]:
    done = sandbox.afield("show", str(job), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["job"]
    return found


def test_a_command_streams_and_hands_its_exit_code_through(sandbox: Sandbox) -> None:
    (sandbox.project / "work.py").write_text(
        "import sys\nprint('out', *sys.argv[1:])\nprint('err', file=sys.stderr)\nsys.exit(7)\n"
    )
    done = sandbox.afield("run", "--", "python3", "work.py", "--lr", "0.1")
    assert done.returncode == 7, done.stderr
    assert done.stdout == b"out --lr 0.1\n"
    assert b"err\n" in done.stderr
    assert view(sandbox, 1)["phase"] == "failed"


def test_a_py_file_runs_and_its_results_come_home(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(
        "import os, pathlib\n"
        "out = pathlib.Path(os.environ['OUTPUT_DIR'])\n"
        "(out / 'deep').mkdir()\n"
        "(out / 'deep' / 'metrics.json').write_text('{}')\n"
        "(out / 'big.bin').write_bytes(os.urandom(3_000_000))\n"
        "print('done')\n"
    )
    done = sandbox.afield("run", "train.py")
    assert done.returncode == 0, done.stderr
    home = sandbox.project / "outputs"
    assert (home / "1" / "deep" / "metrics.json").read_text() == "{}"
    assert (home / "1" / "big.bin").stat().st_size == 3_000_000
    assert (home / "latest").resolve() == (home / "1").resolve()
    assert (home / ".gitignore").read_text() == "*\n"
    again = sandbox.afield("pull", "1")
    assert again.returncode == 0, again.stderr
    assert b"2 were here" in again.stderr


@pytest.mark.parametrize(
    ("program", "status"),
    [("import sys; sys.exit(255)", 255), ("import os; os.kill(os.getpid(), 9)", 137), ("import os; os.abort()", 134)],
)
def test_exit_codes_and_signals(sandbox: Sandbox, program: str, status: int) -> None:
    done = sandbox.afield("run", "-q", "--", "python3", "-c", program)
    assert done.returncode == status, done.stderr


def test_a_missing_program_is_127(sandbox: Sandbox) -> None:
    done = sandbox.afield("run", "--", "no-such-program")
    assert done.returncode == 127
    assert b"no-such-program" in done.stderr


def test_bytes_come_as_they_are(sandbox: Sandbox) -> None:
    raw = b"no newline\x00\xff\x1b[31mred\rbar\x07" + bytes(range(256))
    (sandbox.project / "raw").write_bytes(raw)
    done = sandbox.afield("run", "-q", "--", "cat", "raw")
    assert done.stdout == raw
    assert sandbox.afield("logs", "1").stdout == raw


def test_a_hundred_megabytes_on_one_line(sandbox: Sandbox) -> None:
    program = "import sys\nfor _ in range(100): sys.stdout.write('x' * 1_000_000)\n"
    done = sandbox.afield("run", "-q", "--", "python3", "-c", program, within_s=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == 100_000_000
    assert done.stdout.count(b"x") == 100_000_000


def test_detached_jobs_and_the_verbs_around_them(sandbox: Sandbox) -> None:
    (sandbox.project / "work.py").write_text("print('first')\n")
    submitted = sandbox.afield("run", "-d", "work.py")
    assert submitted.stdout == b"1\n", submitted.stderr
    assert b"results: afield pull 1" in submitted.stderr
    assert sandbox.afield("wait", "1").returncode == 0
    assert sandbox.afield("logs", "1").stdout == b"first\n"
    (sandbox.project / "work.py").write_text("print('second')\n")
    assert sandbox.afield("run", "-q", "work.py").stdout == b"second\n"
    assert sandbox.afield("rerun", "-q", "1").stdout == b"first\n"
    changed = sandbox.afield("diff", "1", "2").stdout
    assert b"-print('first')" in changed
    assert b"+print('second')" in changed
    assert b"-print('first')" in sandbox.afield("diff", "1").stdout
    listed = sandbox.afield("ps").stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in listed] == ["JOB", "1", "2", "3"]
    assert b"succeeded" in sandbox.afield("show", "2").stdout


def test_a_running_job_never_sees_an_edit(sandbox: Sandbox) -> None:
    (sandbox.project / "work.py").write_text(
        "import pathlib, time\n"
        "print('up', flush=True)\n"
        "while not pathlib.Path('/proc/self/cwd/go').exists(): time.sleep(0.02)\n"
        "print(open('data.txt').read())\n"
    )
    (sandbox.project / "data.txt").write_text("old")
    sandbox.afield("run", "-d", "work.py")
    wait_until(lambda: sandbox.afield("logs", "1").stdout == b"up\n", show=sandbox.story)
    (sandbox.project / "data.txt").write_text("new")
    sandbox.afield("run", "-q", "--", "true")
    src = next(p for p in sandbox.home.glob(".afield/s/*/jobs/1.1/src"))
    (src / "go").touch()
    assert sandbox.afield("logs", "1", "-f").stdout == b"up\nold\n"


def test_a_waiting_job_says_why(sandbox: Sandbox) -> None:
    cores = os.cpu_count() or 1
    sandbox.afield("run", "-d", "--request", f"[cpu={cores}]", "--", "sleep", "600")
    sandbox.afield("run", "-d", "--request", f"[cpu={cores}]", "--", "true")
    told = sandbox.afield("why", "2").stdout
    assert b"queued" in told
    assert b"job 1" in told
    assert sandbox.afield("stop", "1").returncode == 0
    assert sandbox.afield("wait", "2").returncode == 0


TREE = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(os.environ['OUTPUT_DIR'] + '/daemon', 'w').write(str(os.getpid()))
        os.closerange(0, 256)
        time.sleep(600)
    os._exit(0)
child = subprocess.Popen(['sleep', '600'])
stubborn = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, 1); time.sleep(600)'])
print(child.pid, stubborn.pid, flush=True)
time.sleep(600)
"""


def test_stop_leaves_nothing_behind(sandbox: Sandbox) -> None:
    (sandbox.project / "tree.py").write_text(TREE)
    sandbox.afield("run", "-d", "--grace", "1s", "tree.py")
    wait_until(lambda: sandbox.afield("logs", "1").stdout.endswith(b"\n"), show=sandbox.story)
    pids = [int(p) for p in sandbox.afield("logs", "1").stdout.split()]
    pids.append(int(next(sandbox.home.glob(".afield/s/*/jobs/1.1/outputs/daemon")).read_text()))
    assert all(_alive(p) for p in pids)
    stopped = sandbox.afield("stop", "1")
    assert stopped.stdout == b"job 1: stopped\n", stopped.stderr
    assert not [p for p in pids if _alive(p)]
    assert sandbox.afield("wait", "1").returncode == 130


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_time_limit_ends_the_job(sandbox: Sandbox) -> None:
    done = sandbox.afield("run", "--time", "1s", "--grace", "1s", "--", "sleep", "600")
    assert done.returncode == 124, done.stderr
    assert view(sandbox, 1)["outcome"] == "timed_out"


def test_ctrl_c_stops_the_job(sandbox: Sandbox) -> None:
    with sandbox.start("run", "--", "sh", "-c", "echo up; exec sleep 600") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"up\n"
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 130
    assert view(sandbox, 1)["phase"] == "stopped"


def test_a_gang_on_one_node_has_every_variable(sandbox: Sandbox) -> None:
    (sandbox.project / "worker.py").write_text(
        "import json, os\nkeys = os.environ.get('KEYS').split()\n"
        "print(json.dumps({k: os.environ.get(k) for k in keys}))\n"
    )
    keys = (
        "RANK WORLD_SIZE LOCAL_RANK MASTER_ADDR MASTER_PORT GROUP_INDEX PROCESS_INDEX NUM_GROUPS JOB_NUMBER OUTPUT_DIR"
    )
    keys += " NUM_PROCESSES_GROUP0 HOST_GROUP0_PROCESS0 HOST_GROUP0_PROCESS1 SRC_DIR JOB_DIR KEEP_DIR RESULT_FILE"
    keys += " AFIELD_JOB AFIELD_ATTEMPT AFIELD_NODE AFIELD_WORKER AFIELD_WORKERS AFIELD_RESUME USER_DIR SHARED_DIR"
    done = sandbox.afield("run", "-e", f"KEYS={keys}", "--request", "2:[]", "--", "python3", "worker.py")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    seen = {int(mark.strip("[p]")): json.loads(text) for mark, text in lines.items()}
    assert set(seen) == {0, 1}
    assert not [k for rank in seen.values() for k, v in rank.items() if v is None]
    assert [seen[r]["RANK"] for r in (0, 1)] == ["0", "1"]
    assert seen[0]["MASTER_PORT"] == seen[1]["MASTER_PORT"]
    only = sandbox.afield("logs", "1", "--rank", "1").stdout
    assert json.loads(only)["RANK"] == "1"


def test_the_first_failure_stops_the_others_and_is_named(sandbox: Sandbox) -> None:
    program = "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(5)\ntime.sleep(600)\n"
    done = sandbox.afield("run", "--grace", "1s", "--request", "2:[]", "--", "python3", "-c", program)
    assert done.returncode == 5, done.stderr
    assert b"process 1: exit code 5" in done.stderr


def test_sixteen_at_once_start_one_controller(sandbox: Sandbox) -> None:
    (sandbox.project / "a.txt").write_text("x")
    commands = [sandbox.start("run", "-q", "--", "echo", str(i)) for i in range(16)]
    outs = []
    for command in commands:
        out, err = command.communicate(timeout=120)
        assert command.returncode == 0, err
        outs.append(out)
    assert sorted(outs) == sorted(f"{i}\n".encode() for i in range(16))
    numbers = [j["number"] for j in json.loads(sandbox.afield("ps", "--json").stdout)["jobs"]]
    assert sorted(numbers) == list(range(1, 17))


def test_nothing_of_the_callers_shell_leaks(sandbox: Sandbox) -> None:
    sandbox.env["MY_SECRET_TOKEN"] = "canary"
    done = sandbox.afield("run", "-q", "--", "env")
    assert b"canary" not in done.stdout
    passed = sandbox.afield("run", "-q", "-e", "MY_SECRET_TOKEN", "--", "sh", "-c", "echo $MY_SECRET_TOKEN")
    assert passed.stdout == b"canary\n"


def test_output_without_a_reader_is_kept(sandbox: Sandbox) -> None:
    with sandbox.start("run", "--", "sh", "-c", "echo one; sleep 1; echo two; exit 3") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"one\n"
        command.kill()
    done = sandbox.afield("logs", "1", "-f")
    assert done.stdout == b"one\ntwo\n"
    assert done.returncode == 3


def test_the_newest_job_is_listed_last_and_no_unfinished_one_is_left_out(sandbox: Sandbox) -> None:
    sandbox.afield("run", "-d", "--", "sleep", "600")
    for _ in range(2):
        sandbox.afield("run", "-q", "--", "true")
    assert [line.split()[0] for line in sandbox.afield("ps").stdout.decode().splitlines()[1:]] == ["1", "2", "3"]
    short = sandbox.afield("ps", "--limit", "1")
    assert [line.split()[0] for line in short.stdout.decode().splitlines()[1:]] == ["1", "3"]
    assert b"of the newest 1; for older ones: --limit 10" in short.stderr
    sandbox.afield("stop", "1")


def test_dry_run_stores_nothing(sandbox: Sandbox) -> None:
    done = sandbox.afield("run", "--dry-run", "--", "true")
    assert done.returncode == 0, done.stderr
    assert json.loads(sandbox.afield("ps", "--json").stdout)["jobs"] == []


def test_output_to_a_closed_pipe_is_no_crash(sandbox: Sandbox) -> None:
    sandbox.afield("run", "-q", "--", "seq", "1", "100000")
    command = f"{sandbox.env['PATH'].split(':')[0]}/afield logs 1 | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=sandbox.project, env=sandbox.env, capture_output=True, check=False
    )
    assert done.stdout == b"1\n"
    assert b"Traceback" not in done.stderr
