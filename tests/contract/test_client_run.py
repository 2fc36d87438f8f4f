"""The SDK on this machine from outside: a program that imports afield, with nothing configured."""

from __future__ import annotations

import subprocess
import sys

from afield.testing.sandbox import Sandbox

TRAIN = """\
import os, sys
print("hello", *sys.argv[1:], flush=True)
with open(os.path.join(os.environ["OUTPUT_DIR"], "result.txt"), "w") as file:
    file.write(sys.argv[1])
sys.exit(int(sys.argv[1]))
"""

PROGRAM = """\
import afield as af

job = af.run("train.py", "0", name="first", env={"A": "1"})
assert list(job.logs(follow=True)) == ["hello 0"], job
assert (job.phase, job.exit_status, job.name) == ("succeeded", 0, "first")
assert job.pull().shown == "outputs/1/"

jobs = af.run_all([["train.py", str(n)] for n in (0, 3)])
assert [j.wait().exit_status for j in jobs] == [0, 3]
try:
    jobs[1].wait(check=True)
except af.JobFailed as error:
    assert error.tail == "hello 3", error.tail

try:
    af.run("train.py", "0", gpus=1000)
except af.AfieldError as error:
    print(error.code)
"""


def test_a_program_runs_jobs_and_gets_their_results(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(TRAIN)
    (sandbox.project / "afield.toml").write_text("")
    (sandbox.project / "sweep.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "sweep.py"], cwd=sandbox.project, env=sandbox.env, capture_output=True, timeout=90, check=False
    )
    assert done.returncode == 0, sandbox.story(done.stdout, done.stderr)
    assert done.stdout == b"nothing-fits\n"
    assert (sandbox.project / "outputs/1/result.txt").read_text() == "0"
