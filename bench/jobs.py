"""Many tiny jobs on this machine: first submit to last end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from afield.testing.sandbox import Sandbox
from bench.measure import Figure, quiet

JOBS = 1000

CAMPAIGN = f"""
import json, time
from afield.sdk.client import Client
from afield.sdk.submit import build_all
client = Client()
bodies = [built.body for built in build_all([["true"]] * {JOBS}, {{"environment": "none"}})]
begin = time.time()
views = client.submit(bodies)
accepted = time.time()
last = views[-1]["number"]
while client.jobs(all=False, limit=1):
    time.sleep(0.02)
end = time.time()
outcomes = [v["outcome"] for v in client.jobs(all=True, limit={JOBS})]
print(json.dumps({{"accept_s": accepted - begin, "all_s": end - begin, "succeeded": outcomes.count("succeeded")}}))
"""


def figures() -> Iterator[Figure]:
    """1,000 `true` jobs, submitted by the SDK in one batch."""
    with Sandbox() as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        (sandbox.project / "one.txt").write_text("the only file\n")
        quiet([program, "run", "-q", "--", "true"], sandbox.env, sandbox.project)
        done = subprocess.run(
            [sys.executable, "-c", CAMPAIGN], env=sandbox.env, cwd=sandbox.project, capture_output=True, check=True
        )
        told = json.loads(done.stdout)
        assert told["succeeded"] == JOBS, told
        notes = {"accepted_in_s": round(told["accept_s"], 2), "all_s": round(told["all_s"], 2)}
        yield Figure(
            "1,000 true jobs here, per second", JOBS / told["all_s"], 100, unit="jobs/s", better="more", notes=notes
        )
