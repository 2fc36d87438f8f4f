"""How far jobs say that they are, in the list of jobs."""

from __future__ import annotations

import json

from afield.testing.hosts import Host
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

PROGRAM = (
    "import time\nimport afield as af\nnow = af.current()\n"
    "while not now.stop_requested():\n    now.progress(400, 1000)\n    time.sleep(0.02)\n"
)


def progress(sandbox: Sandbox, number: int) -> object:
    jobs = json.loads(sandbox.afield("ps", "--json", "number,progress").stdout)["jobs"]
    return next(job["progress"] for job in jobs if job["number"] == number)


def test_ps_tells_how_far_running_jobs_are(sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM)
    assert sandbox.afield("run", "-d", "-n", host.name, "train.py").returncode == 0
    assert sandbox.afield("run", "-d", "-n", "local", "--", "sleep", "600").returncode == 0
    wait_until(lambda: progress(sandbox, 1), show=sandbox.story)
    said = progress(sandbox, 1)
    assert isinstance(said, dict)
    assert (said["done"], said["total"]) == (400.0, 1000.0)
    assert said["at"].endswith("Z")
    assert progress(sandbox, 2) is None
    head, *rows = [line.split("\t") for line in sandbox.afield("ps").stdout.decode().splitlines()]
    told = {row[0]: row[head.index("PROGRESS")] for row in rows}
    assert told == {"1": "40%", "2": "-"}
    wait_until(lambda: progress(sandbox, 1) != said, show=sandbox.story)
    assert sandbox.afield("stop", "1").returncode == 0
    assert progress(sandbox, 1) is None, "of what is over nothing is told"
