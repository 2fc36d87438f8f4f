"""A fleet of real SSH hosts, each behind a proxy of its own, with a controller and a folder that all may write."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afield.sdk.client import Client
from afield.testing.hosts import Hosts
from afield.testing.proxy import Proxy
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.chaos.kit import client_of, job, noted

# Prints SIZE bytes that SEED decides, in pieces with PAUSE between them, and notes the digest of what it wrote. With
# WAIT it prints on until that file is there.
WRITER = """
import hashlib, os, random, sys, time
dice, digest, left = random.Random(os.environ["SEED"]), hashlib.sha256(), int(os.environ["SIZE"])
pause, wait, step = float(os.environ["PAUSE"]), os.environ["WAIT"], int(os.environ["STEP"])
while left > 0 or (wait and not os.path.exists(wait)):
    piece = dice.randbytes(min(step, left) if left > 0 else 64)
    left -= len(piece)
    digest.update(piece)
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view):]
    time.sleep(pause)
open(os.environ["LEDGER"] + ".digest." + os.environ["AFIELD_JOB"], "w").write(digest.hexdigest())
"""


@dataclass(frozen=True, slots=True)
class Talk:
    """What a body prints."""

    seed: str
    size: int
    step: int = 64 * 1024
    pause_s: float = 0.0
    wait: Path | None = None


@dataclass(frozen=True, slots=True)
class Far:
    """The hosts, the proxy before each, and who runs jobs on them; `notes` is open to all accounts."""

    hosts: Hosts
    proxies: dict[str, Proxy]
    sandbox: Sandbox
    client: Client
    notes: Path

    def ledger(self, name: str) -> Path:
        """The ledger of the bodies on a host: each account has files of its own."""
        return self.notes / name

    def talk(self, name: str, talk: Talk, code: int) -> dict[str, Any]:
        """A submission that prints on a host and ends with a code."""
        variables = {"SEED": talk.seed, "SIZE": str(talk.size), "PAUSE": str(talk.pause_s), "STEP": str(talk.step)}
        variables |= {"WAIT": str(talk.wait or ""), "WRITER": WRITER}
        return job('python3 -c "$WRITER"', self.ledger(name), code=code, node=name, **variables)

    def health(self) -> dict[str, str]:
        """What is said of each node now."""
        return {node["name"]: node["health"] for node in self.client.nodes()}

    def end(self, number: int, within_s: float = 120) -> dict[str, Any]:
        """The view of a job once it has ended."""

        def ended() -> dict[str, Any] | None:
            view = self.client.job(number)
            if "in a row" in view["reason"]:
                self.client.release(number)
            return view if view["outcome"] is not None else None

        return wait_until(ended, within_s=within_s, every_s=0.05, show=self.sandbox.story) or {}

    def faults(self, view: dict[str, Any], name: str, code: int) -> Iterator[str]:
        """What is wrong with the end of a talk: its body began once, ended with its code, and we hold all it wrote."""
        number = view["number"]
        begins = noted(self.ledger(name), "begin", number)
        if len(begins) != 1:
            yield f"job {number} began {len(begins)} times: {begins} {view['attempts']}"
        if view["exit_status"] != code or view["outcome"] != ("failed" if code else "succeeded"):
            yield f"job {number} {view['outcome']} with {view['exit_status']}, not {code}: {view['attempts']}"
        told = Path(f"{self.ledger(name)}.digest.{number}")
        held = ""

        def whole() -> bool:
            nonlocal held
            digest = hashlib.sha256()
            for piece in self.client.output(number):
                digest.update(piece)
            held = digest.hexdigest()
            return told.exists() and held == told.read_text()

        try:
            wait_until(whole, within_s=30, every_s=0.1)
        except AssertionError:
            yield f"job {number}: the log's digest is {held}"
        gaps = [p for p in self.sandbox.state.glob(f"**/{number}.*/*.gaps") if p.stat().st_size]
        if gaps:
            yield f"job {number} has gaps: {[p.read_text() for p in gaps]}"


@contextmanager
def far_away(count: int) -> Iterator[Far]:
    """`count` hosts behind proxies, all of them added as nodes."""
    with ExitStack() as stack:
        hosts = stack.enter_context(Hosts(count=count, users=os.geteuid() == 0))
        proxies = {host.name: stack.enter_context(Proxy(host.address, host.port)) for host in hosts}
        for name, proxy in proxies.items():
            hosts.route(name, proxy.address, proxy.port)
        notes = Path(tempfile.mkdtemp(prefix="afn-"))
        stack.callback(shutil.rmtree, notes, ignore_errors=True)
        notes.chmod(0o1777)
        sandbox = stack.enter_context(Sandbox(ssh_config=hosts.ssh_config))
        for host in hosts:
            done = sandbox.afield("node", "add", host.name)
            assert done.returncode == 0, done.stderr
        client = stack.enter_context(client_of(sandbox))
        yield Far(hosts, proxies, sandbox, client, notes)
