"""The log path: throughput of one job, and the delay of a line."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median, quantiles

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from bench.measure import Figure, quiet, seconds

MEGABYTES = 400
ROUNDS = 3
LINES = 200

TICKER = f"""
import sys, time
for _ in range({LINES}):
    sys.stdout.write("%.6f\\n" % time.time()); sys.stdout.flush(); time.sleep(0.02)
"""


def figures() -> Iterator[Figure]:
    """Throughput over `ssh host cat`, and the delay from the print there to the line here."""
    with Hosts(count=1) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        host = hosts[0]
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        quiet([program, "node", "add", host.name], sandbox.env, sandbox.project)
        yield _throughput(sandbox, host, program)
        yield _delay(sandbox, host, program)


def _throughput(sandbox: Sandbox, host: Host, program: str) -> Figure:
    big = host.home / "big.log"
    line = b"2026-01-01 step 1234 loss 0.1234 some text that a training run prints\n"
    with big.open("wb") as file:
        for _ in range(MEGABYTES):
            file.write(line * (1_000_000 // len(line)))
    run = [program, "run", "-q", "-n", host.name, "--environment", "none", "--", "cat", str(big)]
    small = [*run[:-2], "true"]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(seconds(lambda: quiet(host.command("cat", str(big)))))
        start = seconds(lambda: quiet(small, sandbox.env, sandbox.project))
        ours.append(seconds(lambda: quiet(run, sandbox.env, sandbox.project)) - start)
    size = big.stat().st_size / 1e6
    notes = {"afield_MB_s": round(size / median(ours)), "ssh_cat_MB_s": round(size / median(theirs))}
    return Figure("log throughput / ssh host cat", median(theirs) / median(ours), 0.6, better="more", notes=notes)


def _delay(sandbox: Sandbox, host: Host, program: str) -> Figure:
    argv = [program, "run", "-q", "-n", host.name, "--environment", "none", "--", sys.executable, "-u", "-c", TICKER]
    delays = []
    with subprocess.Popen(argv, env=sandbox.env, cwd=sandbox.project, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        for line in iter(command.stdout.readline, b""):
            delays.append((time.time() - float(line)) * 1000)
    late = quantiles(delays, n=20)[-1]
    return Figure(
        "delay of a line, p95", late, 60, unit="ms", notes={"median_ms": round(median(delays), 1), "lines": len(delays)}
    )
