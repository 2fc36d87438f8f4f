"""Keep folders are where the next attempt finds them: on the same node, on another one, and for another job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

PROGRAM = """
import os, pathlib, time
keep = pathlib.Path(os.environ["KEEP_DIR"])
if os.environ["AFIELD_RESUME"] == "1":
    print("went on from", (keep / "deep/step").read_text(), "on", os.environ["AFIELD_NODE"])
    raise SystemExit((keep / "old").exists())
(keep / "deep").mkdir()
(keep / "old").write_text("0")
time.sleep(3)
(keep / "deep/step").write_text("7")
(keep / "old").unlink()
time.sleep(1000)
"""


@pytest.fixture
def pair(hosts: Hosts, sandbox: Sandbox) -> tuple[Host, Host]:
    """Two hosts, added as nodes."""
    for host in (hosts[0], hosts[1]):
        done = sandbox.afield("node", "add", host.name)
        assert done.returncode == 0, done.stderr
    (sandbox.project / "train.py").write_text(PROGRAM)
    return hosts[0], hosts[1]


def mirrored(sandbox: Sandbox) -> dict[str, str]:
    folder = Path(sandbox.state, "keep", "1", "w0")
    while True:
        try:
            return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
        except FileNotFoundError:
            continue  # a part got its name while we looked


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_resumed_attempt_finds_what_was_kept(elsewhere: bool, sandbox: Sandbox, pair: tuple[Host, Host]) -> None:
    first, second = pair
    place = ("-n", first.name, "-n", second.name) if elsewhere else ("-n", first.name)
    sandbox.afield("node", "set", second.name, "drained=true")
    done = sandbox.afield("run", "-d", "--policy", "resume", *place, "train.py")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: mirrored(sandbox) == {"deep/step": "7"}, within_s=40, show=sandbox.story)
    if elsewhere:
        sandbox.afield("node", "set", first.name, "drained=true")
        sandbox.afield("node", "set", second.name, "drained=false")
    first.reboot()
    done = sandbox.afield("logs", "1", "-f", within_s=90)
    where = second.name if elsewhere else first.name
    assert (done.returncode, done.stdout.decode()) == (0, f"went on from 7 on {where}\n"), done.stderr
    attempts = json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]["attempts"]
    assert [a["nodes"] for a in attempts] == [[first.name], [where]]


STEPS = """
import os, pathlib, sys, time
keep, outputs = (pathlib.Path(os.environ[name]) for name in ("KEEP_DIR", "OUTPUT_DIR"))
step = keep / "step"
(outputs / "held").write_text("up")
while True:
    step.with_suffix(".part").write_text(str(int(step.read_text()) + 1 if step.exists() else 1))
    step.with_suffix(".part").replace(step)
    (keep / f"of {os.environ['AFIELD_NODE']}").write_text("")
    time.sleep(2)
"""


def test_an_older_attempt_that_is_not_settled_leaves_the_newer_ones_keep_alone(
    sandbox: Sandbox, pair: tuple[Host, Host]
) -> None:
    first, second = pair
    (sandbox.project / "train.py").write_text(STEPS)
    (sandbox.project / "outputs").mkdir()
    (sandbox.project / "outputs" / "1").write_text("in the way: what attempt 1 left cannot come home")
    sandbox.afield("node", "set", second.name, "drained=true")
    place = ("-n", first.name, "-n", second.name)
    done = sandbox.afield("run", "-d", "--outputs", "no*", "--policy", "resume", *place, "train.py")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: mirrored(sandbox).get("step", "") > "2", within_s=40, show=sandbox.story)
    sandbox.afield("node", "set", first.name, "drained=true")
    sandbox.afield("node", "set", second.name, "drained=false")
    first.reboot()
    wait_until(lambda: f"of {second.name}" in mirrored(sandbox), within_s=60, show=sandbox.story)
    seen = [int(mirrored(sandbox)["step"])]
    while seen[-1] < seen[0] + 3:
        wait_until(lambda: int(mirrored(sandbox)["step"]) != seen[-1], show=sandbox.story)
        seen.append(int(mirrored(sandbox)["step"]))
    assert seen == sorted(seen)
    assert len(json.loads(sandbox.afield("show", "1", "--json").stdout)["job"]["attempts"]) == 2


def test_a_job_begins_with_what_another_one_kept(sandbox: Sandbox, pair: tuple[Host, Host]) -> None:
    first, second = pair
    write = 'echo one > "$KEEP_DIR/a"; head -c 3000000 /dev/zero | tr "\\0" x > "$KEEP_DIR/b"; ln -s a "$KEEP_DIR/l"'
    assert sandbox.afield("run", "-n", first.name, "--", "sh", "-c", write).returncode == 0
    read = 'echo $CONTINUE_JOB_NUMBER; cat "$KEEP_DIR/l"; wc -c < "$KEEP_DIR/b"; echo changed > "$KEEP_DIR/a"'
    for host in (first, second):
        done = sandbox.afield("run", "-n", host.name, "--continue", "1", "--", "sh", "-c", read)
        assert (done.returncode, done.stdout) == (0, b"1\none\n3000000\n"), done.stderr
    assert b"continues    job 1\n" in sandbox.afield("show", "@last").stdout
    assert sandbox.afield("cat", "1:keep/a").stdout == b"one\n"
    missing = sandbox.afield("run", "--continue", "99", "--", "true")
    assert missing.returncode == 3, missing.stderr
