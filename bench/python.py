"""The Python side: a function called on a node, and a run whose environment is ready there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from bench.measure import Figure, first_line, in_turn, quiet
from tests.e2e.environment_kit import wheel

CALLS = 20
ROUNDS = 9

CALLER = f"""
import json, sys, time
import afield as af

@af.function(node=sys.argv[1])
def double(x):
    return 2 * x

for x in range(3):
    assert double.submit(x).result() == 2 * x
times = []
for x in range({CALLS}):
    begin = time.perf_counter()
    assert double.submit(x).result() == 2 * x
    times.append(time.perf_counter() - begin)
print(json.dumps(sorted(times)))
"""


def figures() -> Iterator[Figure]:
    """`f.submit(x).result()` on a warm host, and here; Enter to first line with a ready environment, less without."""
    with Hosts(count=1) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        quiet([program, "node", "add", hosts[0].name], sandbox.env, sandbox.project)
        yield _calls(sandbox, hosts[0])
        yield _environment(sandbox, hosts[0], program)


def _calls(sandbox: Sandbox, host: Host) -> Figure:
    (sandbox.project / "caller.py").write_text(CALLER)
    (sandbox.project / "afield.toml").touch()
    there, here = (_times(sandbox, node) for node in (host.name, "local"))
    middle = there[len(there) // 2]
    notes = {"p95_s": round(there[-2], 3), "on_this_machine_s": round(here[len(here) // 2], 3)}
    return Figure("a function's round trip on a warm host", middle, 0.25, unit="s", notes=notes)


def _times(sandbox: Sandbox, node: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "caller.py", node], env=sandbox.env, cwd=sandbox.project, capture_output=True, check=True
    )
    return list(json.loads(done.stdout))


def _environment(sandbox: Sandbox, host: Host, program: str) -> Figure:
    package = wheel(sandbox.project, "ready", "1.0")
    (sandbox.project / "requirements.txt").write_text(f"./{package.name}\n")
    run = [program, "run", "-q", "-n", host.name]
    words = ["--", "python3", "-c", "print(1)"]
    works = {"ready": [*run, *words], "none": [*run, "--environment", "none", *words]}
    quiet(works["ready"], sandbox.env, sandbox.project)
    times = in_turn(
        {
            name: lambda argv=argv: first_line(argv, sandbox.env, sandbox.project)  # type: ignore[misc]
            for name, argv in works.items()
        },
        ROUNDS,
    )
    notes = {f"{name}_ms": round(value * 1000) for name, value in times.items()}
    over = times["ready"] - times["none"]
    return Figure("a ready environment, over a run without one", over, 0.15, unit="s", notes=notes)
