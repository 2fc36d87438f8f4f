"""Choosing a machine: all nodes asked at once, and a press of the Tab key."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from afield.testing.hosts import Hosts
from afield.testing.sandbox import Sandbox
from bench.measure import Figure, in_turn, quiet

NODES = 16
SLOW_S = 0.5
ROUNDS = 7
PRESSES = 15

SLOW = f"#!/bin/sh\nsleep {SLOW_S}\n"
"""A driver that takes its time, as after a while without use."""


def figures() -> Iterator[Figure]:
    """`node ls --probe` on 16 hosts over the slowest of them alone; completing a node's name."""
    with Hosts(count=NODES) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        for host in hosts:
            smi = host.home / "bin/nvidia-smi"
            smi.parent.mkdir()
            smi.write_text(SLOW)
            smi.chmod(0o755)
            (host.home / ".bashrc").write_text("PATH=$HOME/bin:$PATH\n")
            quiet([program, "node", "add", host.name], sandbox.env, sandbox.project)
        times = in_turn(
            {
                "all": lambda: quiet([program, "node", "ls", "--probe"], sandbox.env, sandbox.project),
                "one": lambda: quiet([program, "node", "show", hosts[0].name, "--probe"], sandbox.env, sandbox.project),
            },
            ROUNDS,
        )
        notes = {f"{k}_ms": round(v * 1000) for k, v in times.items()} | {
            "slowest_ms": round(_slowest(program, sandbox))
        }
        yield Figure("node ls --probe, 16 hosts / the slowest alone", times["all"] / times["one"], 1.5, notes=notes)
        press = [program, "completion", "--words", "3", "afield", "node", "rm", ""]
        quiet(press, sandbox.env, sandbox.project)
        presses = in_turn(
            {
                "press": lambda: quiet(press, sandbox.env, sandbox.project),
                "bare": lambda: quiet(
                    [f"{program.rpartition('/')[0]}/python", "-c", "pass"], sandbox.env, sandbox.project
                ),
            },
            PRESSES,
        )
        shown = {"bare_python_ms": round(presses["bare"] * 1000, 1)}
        yield Figure("a press of the Tab key, live names", presses["press"] * 1000, 80, unit="ms", notes=shown)


def _slowest(program: str, sandbox: Sandbox) -> float:
    """The longest that one node took to answer, in ms, while all were asked."""
    done = subprocess.run(
        [program, "node", "ls", "--probe", "--json"],
        env=sandbox.env,
        cwd=sandbox.project,
        capture_output=True,
        check=True,
    )
    return max(float(node["probe"]["took_s"]) for node in json.loads(done.stdout)["nodes"]) * 1000
