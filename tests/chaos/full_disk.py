"""Fills the disk of a node, and that of the controller, in steps of a few KB; runs in a mount namespace of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afield.errors import AfieldError
from afield.sdk.client import Client
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.chaos.census import Census
from tests.chaos.inside import Missing
from tests.chaos.kit import client_of, job, noted

STEP = 4096
WIDE = 64 << 20
LINES = 400
PRINT = f'i=0; while [ $i -lt {LINES} ]; do echo "$i $AFIELD_JOB abcdefghijklmnopqrstuvwxyz" || :; i=$((i+1)); done'


class Disk:
    """A small disk mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if fault := self._mount(f"size={WIDE},mode=700"):
            raise Missing(f"no small disk can be mounted: {fault}")

    def leave(self, left: int) -> None:
        """Leaves so many bytes free."""
        self._resize(lambda found: f"size={(found.f_blocks - found.f_bfree) * found.f_frsize + left}")

    def leave_files(self, left: int) -> None:
        """Leaves room for so many files."""
        self._resize(lambda found: f"size={WIDE},nr_inodes={found.f_files - found.f_ffree + left}")

    def widen(self) -> None:
        """Makes room again."""
        self._resize(lambda _: f"size={WIDE},nr_inodes=1000000")

    def _resize(self, wanted: Callable[[os.statvfs_result], str]) -> None:
        """Less than lies there is refused, and somebody may have written since we looked: then we look again."""

        def fault() -> str:
            return self._mount(f"remount,{wanted(os.statvfs(self.folder))}")

        wait_until(lambda: not fault(), show=fault)

    def _mount(self, options: str) -> str:
        """What mount complains of, if anything."""
        words = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return f"{options}: {done.stderr.strip()}" if done.returncode else ""


@contextmanager
def _small(where: str) -> Iterator[tuple[Sandbox, Client, Disk]]:
    """A sandbox with one small disk: the `node`'s or the `controller`'s; one job has run on it."""
    with Sandbox() as sandbox:
        disk = Disk(sandbox.home / ".afield" if where == "node" else sandbox.state)
        (sandbox.state / "server.log").symlink_to(sandbox.root / "server.log")  # tells what happens without room, too
        with client_of(sandbox) as client:
            first = client.submit([job(":", sandbox.root / "ledger")])[0]["number"]
            assert client.wait(first, 60)["outcome"] == "succeeded", sandbox.story()
            yield sandbox, client, disk


def sweep(where: str, kind: str, steps: str, stride: str) -> dict[str, Any]:
    """Runs a job with 0, 1, 2, ... strides of room; each must end right once there is room. Totals.

    At every second step the link to the node is killed while there is none.
    """
    totals: dict[str, Any] = {"steps": 0, "refused": 0, "waited": 0, "links": 0, "wrong": []}
    with _small(where) as (sandbox, client, disk):
        for step in range(int(steps)):
            room = step * int(stride)
            disk.leave(room * STEP) if kind == "bytes" else disk.leave_files(room)
            try:
                totals["wrong"] += [f"step {step}: {w}" for w in _one(sandbox, client, disk, totals, step)]
            except (AssertionError, AfieldError, TimeoutError) as error:
                totals["wrong"].append(f"step {step}: {error!r}\n{sandbox.story()}")
            totals["steps"] += 1
            if len(totals["wrong"]) > 3:
                break
    return totals


def while_running(how: str) -> list[str]:
    """The controller's disk is full from before a job ends until its news were refused; what is wrong afterwards.

    `how`: "quiet", its end is all that there is to tell; "cut", it printed, and then the link to its node was killed.
    """
    with _small("controller") as (sandbox, client, disk):
        ledger, gate, log = (sandbox.root / name for name in ("ledger", "gate", "server.log"))
        script = 'while [ ! -e "$GATE" ]; do sleep 0.02; done\n' + (PRINT if how == "cut" else ":")
        number = client.submit([job(script, ledger, code=5, GATE=str(gate))])[0]["number"]
        wait_until(lambda: noted(ledger, "begin", number) and client.job(number)["phase"] == "running")
        disk.leave(0)
        gate.touch()
        wait_until(lambda: "could not record" in log.read_text(), show=sandbox.story)
        if how == "cut":
            _kill_links(sandbox)
            wait_until(lambda: "news of node local" in log.read_text(), show=sandbox.story)
        disk.widen()
        after = client.submit([job(":", ledger, code=6)])[0]["number"]
        views = (_end(client, number), 5), (_end(client, after), 6)
        return [fault for view, code in views for fault in _faults(sandbox, client, view, code)]


def _one(sandbox: Sandbox, client: Client, disk: Disk, totals: dict[str, Any], step: int) -> list[str]:
    ledger, code = sandbox.root / "ledger", step % 7
    asked = job(PRINT, ledger, code=code)
    wrong = []
    try:
        number = client.submit([asked])[0]["number"]
        _until_stuck(client, number, ledger)
    except AfieldError as error:
        totals["refused"] += 1
        words = f"{error.what} {error.why}"
        if "disk full" not in words and "No space" not in words:
            wrong.append(f"refused without clear words: {words}")
    if step % 2:
        totals["links"] += _kill_links(sandbox)
    disk.widen()
    number = client.submit([asked])[0]["number"]
    if client.job(number)["outcome"] is None:
        totals["waited"] += 1
    view = _end(client, number)
    return [*wrong, *_faults(sandbox, client, view, code)]


def _kill_links(sandbox: Sandbox) -> int:
    """Kills each link of a sandbox once, as a new one comes at once; how many there were."""
    return sum(bool(p.send(signal.SIGKILL)) for p in Census().living(sandbox.id) if p.role == "link")


def _until_stuck(client: Client, number: int, ledger: Path) -> None:
    """Returns when the job went as far as it can without room: ended, or its body did, or what it waits for is said."""

    def stuck() -> bool:
        view = client.job(number)
        attempts = view["attempts"]
        said = view["reason"] + (attempts[-1]["detail"] if attempts else "")
        return view["outcome"] is not None or "space" in said or bool(noted(ledger, "end", number))

    try:
        wait_until(stuck, within_s=3)
    except AssertionError:
        return  # it waits for its node in silence; what counts is what becomes of it


def _end(client: Client, number: int) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        view = client.job(number)
        if "in a row" in view["reason"]:
            client.release(number)
        return view if view["outcome"] is not None else None

    return wait_until(ended, within_s=60, every_s=0.05, show=lambda: client.job(number)) or {}


def _faults(sandbox: Sandbox, client: Client, view: dict[str, Any], code: int) -> Iterator[str]:
    number, ledger = view["number"], sandbox.root / "ledger"
    begins = noted(ledger, "begin", number)
    if len(begins) != len(set(begins)):
        yield f"an attempt began twice: {begins}"
    if view["outcome"] in ("succeeded", "failed"):
        if view["exit_status"] != code or len(noted(ledger, "end", number)) != 1:
            yield f"{view['outcome']} with {view['exit_status']}, not {code}: {view['attempts']} {begins}"
        yield from _output(sandbox, client, view)
    elif view["outcome"] != "setup_failed" or begins or "space" not in str(view).lower():
        yield f"ended as {view['outcome']}: {view['reason']} {view['attempts']} {begins}"


def _output(sandbox: Sandbox, client: Client, view: dict[str, Any]) -> Iterator[str]:
    """What we hold equals what lies on the node, byte for byte, without a gap."""
    attempt = f"{view['number']}.{view['attempts'][-1]['number']}"
    there = next(sandbox.home.glob(f".afield/s/*/runs/{attempt}/p0/out"))

    def whole() -> bool:
        return b"".join(client.output(view["number"])) == there.read_bytes()

    try:
        wait_until(whole, within_s=20)
    except AssertionError:
        here = len(b"".join(client.output(view["number"])))
        yield f"{here} bytes here, {there.stat().st_size} on the node"
    gaps = list(sandbox.state.glob(f"**/{attempt}/*.gaps"))
    if any(path.stat().st_size for path in gaps):
        yield f"gaps although the node has every byte: {[path.read_text() for path in gaps]}"
