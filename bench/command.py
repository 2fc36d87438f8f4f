"""Start-up of the command line against a bare Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from afield.testing.sandbox import Sandbox
from bench.measure import Figure, in_turn, quiet, seconds

ROUNDS = 15
JOBS = 1000

SUBMIT = """
import sys
from afield.sdk.client import Client
from afield.sdk.submit import build
body = build(["true"], {"request": "[mem=1G]", "node": ["local"], "environment": "none"}).body
client = Client()
for _ in range(10):
    client.submit([{**body, "key": ""} | {"key": f"{_}-{i}"} for i in range(100)])
"""


def figures() -> Iterator[Figure]:
    """`--help`, and `ps` with a running controller and 1,000 jobs."""
    with Sandbox() as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        bare = [sys.executable, "-c", "pass"]
        cold = seconds(lambda: quiet([program, "ps"], sandbox.env, sandbox.project))
        quiet([program, "node", "set", "local", "drained=true"], sandbox.env, sandbox.project)
        quiet([sys.executable, "-c", SUBMIT], sandbox.env, sandbox.project)
        times = in_turn(
            {
                "bare": lambda: quiet(bare, sandbox.env, sandbox.project),
                "help": lambda: quiet([program, "--help"], sandbox.env, sandbox.project),
                "ps": lambda: quiet([program, "ps"], sandbox.env, sandbox.project),
            },
            ROUNDS,
        )
        shown = {f"{k}_ms": round(v * 1000, 1) for k, v in times.items()}
        yield Figure("afield --help / python3 -c pass", times["help"] / times["bare"], 5, notes=shown)
        notes = {**shown, "ps_that_starts_the_controller_ms": round(cold * 1000)}
        yield Figure("afield ps, 1,000 jobs / python3 -c pass", times["ps"] / times["bare"], 12, notes=notes)
