"""Data: a gigabyte to a node against rsync, and how soon a finished output is here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from bench.measure import Figure, quiet, seconds

GIGABYTE = 10**9
ROUNDS = 3
FILES = 20
GAP_S = 1.0

WRITER = f"""
import pathlib, time
for number in range({FILES}):
    with open(f"part-{{number}}.pt", "wb") as file:
        file.write(bytes(100_000))
    pathlib.Path(f"closed-{{number}}").write_text(repr(time.time()))
    time.sleep({GAP_S})
"""


def figures() -> Iterator[Figure]:
    """A push of 1 GB over rsync on an open connection; seconds from the close of a file there to the file here."""
    with Hosts(count=1) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        quiet([program, "node", "add", hosts[0].name], sandbox.env, sandbox.project)
        yield _lag(sandbox, hosts[0], program)
        yield _push(sandbox, hosts[0], program)


def _push(sandbox: Sandbox, host: Host, program: str) -> Figure:
    big = sandbox.root / "big.bin"
    control = sandbox.root / "m"
    base = ["ssh", "-F", str(host.ssh_config), "-S", str(control)]
    master = subprocess.Popen([*base, "-M", "-N", host.name], stdin=subprocess.DEVNULL)
    ours, theirs = [], []
    try:
        for turn in range(ROUNDS):
            _noise(big)
            push = [program, "push", str(big), f"{host.name}:data/big-{turn}.bin"]
            copy = ["rsync", "-a", "-e", " ".join(base), str(big), f"{host.name}:by-hand-{turn}.bin"]
            theirs.append(seconds(lambda argv=copy: quiet(argv)))  # type: ignore[misc]
            ours.append(seconds(lambda argv=push: quiet(argv, sandbox.env, sandbox.project)))  # type: ignore[misc]
    finally:
        master.terminate()
        master.wait()
    notes = {"afield_s": round(median(ours), 2), "rsync_s": round(median(theirs), 2)}
    return Figure("push of 1 GB / rsync -a (warm)", median(ours) / median(theirs), 1.2, notes=notes)


def _noise(path: Path) -> None:
    """A gigabyte that nothing can make smaller, new each time."""
    with path.open("wb") as file:
        for _ in range(GIGABYTE // 10**7):
            file.write(os.urandom(10**7))


def _lag(sandbox: Sandbox, host: Host, program: str) -> Figure:
    """When each file was first seen here, less when it was closed there; by one clock, as the host is this machine."""
    run = [program, "run", "-q", "-n", host.name, "--environment", "none", "--outputs", "*.pt", "--outputs", "closed-*"]
    seen: dict[int, float] = {}
    home = sandbox.project / "outputs"
    with subprocess.Popen(
        [*run, "--", sys.executable, "-c", WRITER], env=sandbox.env, cwd=sandbox.project, stdout=subprocess.DEVNULL
    ) as command:
        while command.poll() is None:
            for path in home.glob("*/part-*.pt"):
                seen.setdefault(int(path.stem.partition("-")[2]), time.time())
            time.sleep(0.01)
    closed = {int(p.name.partition("-")[2]): float(p.read_text()) for p in home.glob("*/closed-*")}
    assert len(closed) == len(seen) == FILES, f"{len(seen)} files and {len(closed)} times came home"
    lags = [seen[number] - closed[number] for number in seen]
    notes = {"median_s": round(median(lags), 2), "files": len(lags)}
    return Figure(
        "an output is here after its file is closed, p95", quantiles(lags, n=20)[-1], 2, unit="s", notes=notes
    )
