"""Many nodes at once, and what a warm node costs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from afield.testing.hosts import Hosts
from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from bench.measure import Figure, in_turn, pss_kb, quiet

NODES = 64
ROUNDS = 7


def figures() -> Iterator[Figure]:
    """`exec --all true` on 64 warm nodes over `ssh -S` in parallel; memory idle and per node."""
    with Hosts(count=NODES) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        quiet([program, "ps"], sandbox.env, sandbox.project)
        before = _memory(sandbox)
        for host in hosts:
            quiet([program, "node", "add", host.name], sandbox.env, sandbox.project)
        after = _memory(sandbox)
        each = (after - before) / NODES / 1000
        folder = sandbox.root / "m"
        folder.mkdir()
        masters = [_master(str(h.ssh_config), h.name, folder) for h in hosts]
        try:
            wait_until(lambda: len(list(folder.iterdir())) == NODES, within_s=60)
            names = " ".join(h.name for h in hosts)
            by_hand = f"xargs -P64 -I{{}} ssh -F {hosts.ssh_config} -S {folder}/{{}} {{}} true"
            script = f"printf '%s\\n' {names} | {by_hand}"
            quiet(["bash", "-c", script])
            times = in_turn(
                {
                    "ssh": lambda: quiet(["bash", "-c", script]),
                    "afield": lambda: quiet([program, "exec", "--all", "true"], sandbox.env, sandbox.project),
                },
                ROUNDS,
            )
        finally:
            for master in masters:
                master.terminate()
                master.wait()
        notes = {f"{name}_ms": round(value * 1000, 1) for name, value in times.items()}
        yield Figure(
            "exec --all true, 64 warm nodes / ssh -S in parallel", times["afield"] / times["ssh"], 0.4, notes=notes
        )
        yield Figure("memory of the idle controller", before / 1000, 80, unit="MB")
        yield Figure("memory for each warm node", each, 2.5, unit="MB")


def _master(config: str, name: str, folder: Path) -> subprocess.Popen[bytes]:
    argv = ["ssh", "-F", config, "-M", "-S", f"{folder}/{name}", "-N", name]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _memory(sandbox: Sandbox) -> int:
    """kB of the server and of its ssh processes."""
    ours = [
        p.pid
        for p in sandbox.processes()
        if "afield.server" in command_line(p) or Path(command_line(p)[0]).name == "ssh"
    ]
    return sum(pss_kb(pid) for pid in ours if os.path.exists(f"/proc/{pid}"))
