"""Sending code: Enter to the first line, and the first send, against rsync and ssh by hand."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from bench.measure import Figure, first_line, make_project, quiet, seconds

ROUNDS = 7
SPARES = 2


@dataclass(frozen=True, slots=True)
class ByHand:
    """What a person types: rsync, then ssh; warm over an open master, or cold."""

    host: Host
    project: Path
    control: Path

    def master(self) -> subprocess.Popen[bytes]:
        """Open the master connection."""
        argv = ["ssh", "-F", str(self.host.ssh_config), "-M", "-S", str(self.control), "-N", self.host.name]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        wait_until(self.control.exists)
        return process

    def ssh(self, *, warm: bool) -> str:
        """The ssh command as rsync's -e takes it."""
        return f"ssh -F {self.host.ssh_config} -o BatchMode=yes" + (f" -S {self.control}" if warm else "")

    def send(self, folder: str, *, warm: bool) -> None:
        """rsync the project."""
        quiet(["rsync", "-a", "-e", self.ssh(warm=warm), f"{self.project}/", f"{self.host.name}:{folder}/"])

    def run(self, folder: str, *, warm: bool) -> float:
        """Edit-to-output: rsync, then ssh; seconds until the first line."""
        begin = time.perf_counter()
        self.send(folder, warm=warm)
        took = time.perf_counter() - begin
        return took + first_line(
            [*self.ssh(warm=warm).split(), self.host.name, f"cd {folder} && cat d00/s0/f0.txt | head -1"]
        )


def figures() -> Iterator[Figure]:
    """First send, warm and cold repeated runs of a project of 5,000 files with one changed."""
    with Hosts(count=1) as hosts, Sandbox(ssh_config=hosts.ssh_config) as sandbox:
        host = hosts[0]
        make_project(sandbox.project)
        hand = ByHand(host, sandbox.project, sandbox.root / "m")
        program = f"{sandbox.env['PATH'].split(':')[0]}/afield"
        quiet([program, "node", "add", host.name], sandbox.env, sandbox.project)
        master = hand.master()
        try:
            run = [program, "run", "-q", "-n", host.name, "--environment", "none", "--", "head", "-1", "d00/s0/f0.txt"]
            yield _first(hand, sandbox, run)
            yield from _again(hand, sandbox, host, run)
        finally:
            master.terminate()
            master.wait()


def _first(hand: ByHand, sandbox: Sandbox, run: list[str]) -> Figure:
    theirs = [seconds(lambda name=name: hand.send(name, warm=True)) for name in ("r1", "r2")]  # type: ignore[misc]
    ours = first_line(run, sandbox.env, sandbox.project)
    theirs.append(seconds(lambda: hand.send("r3", warm=True)))
    base = median(theirs)
    notes = {"afield_s": round(ours, 2), "rsync_s": round(base, 2)}
    return Figure("first send, Enter to first line / first rsync (warm)", ours / base, 2, notes=notes)


def _again(hand: ByHand, sandbox: Sandbox, host: Host, run: list[str]) -> Iterator[Figure]:
    times: dict[str, list[float]] = {"spare": [], "no_spare": [], "warm": [], "cold": []}
    edits = itertools.count()

    def edit() -> None:
        (sandbox.project / "d00/s0/f0.txt").write_text(f"edit {next(edits)}\n" * 100)

    def afield() -> float:
        edit()
        return first_line(run, sandbox.env, sandbox.project)

    works: dict[str, Callable[[], float]] = {
        "warm": lambda: hand.run("r1", warm=True),
        "cold": lambda: hand.run("r2", warm=False),
    }
    for _ in range(ROUNDS):
        _settle(host)
        times["spare"].append(afield())
        for name, work in works.items():
            edit()
            times[name].append(work())
    for _ in range(3):
        _settle(host)
        afield()
        afield()
        times["no_spare"].append(afield())
    middle = {name: median(found) for name, found in times.items()}
    notes = {f"{name}_ms": round(value * 1000, 1) for name, value in middle.items()}
    notes["no_spare_ratio"] = round(middle["no_spare"] / middle["warm"], 2)
    yield Figure(
        "Enter to first line, 1 of 5,000 changed / warm rsync + ssh -S",
        middle["spare"] / middle["warm"],
        1.5,
        notes=notes,
    )
    yield Figure("the same / cold rsync + ssh", middle["spare"] / middle["cold"], 0.4)


def _settle(host: Host) -> None:
    """Wait until the spares of the node are made: an index is written when its copy is whole."""
    workspaces = ".afield/s/*/w/*"
    wait_until(
        lambda: len(list(host.home.glob(f"{workspaces}/spare.*.index"))) == SPARES,
        within_s=60,
        show=lambda: sorted(path.name for path in host.home.glob(f"{workspaces}/*")),
    )
