"""A node in a folder for tests of the runner: specs, launches, facts, and the program's own ledger as a witness."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afield.runner import folder, keeper, real, verdict
from afield.runner.door import Client
from afield.runner.effects import Identity
from afield.testing.waiting import wait_until

DIGEST = "test"
ENVIRON = threading.Lock()  # there is one environment for all threads that ask
PYTHON = sys.executable
# Writes one line when it really runs, then does what its words say.
LEDGER = "echo begin $$ >> $LEDGER; "


class Node:
    """One node: its paths, its keeper, and what a controller would do to it."""

    def __init__(self, home: Path, store: str = "st1", environ: Mapping[str, str] | None = None) -> None:
        self.paths = folder.paths(store, home=str(home))
        self.home = home
        self.environ = {"HOME": str(home), **(environ or {})}
        self.ledger = home / "ledger"

    def spec(self, attempt: str, *commands: str | Sequence[str], **more: Any) -> dict[str, Any]:
        """A spec of one process per command; a text is a shell script."""
        job, number = folder.split(attempt)
        argvs = [["/bin/sh", "-c", c] if isinstance(c, str) else list(c) for c in commands]
        processes = [
            {"rank": rank, "argv": argv, "variables": {"LEDGER": str(self.ledger)}} for rank, argv in enumerate(argvs)
        ]
        spec = {
            "store": self.paths.store,
            "job": job,
            "attempt": number,
            "node": "n1",
            "nonce": f"{hash(attempt) & 2**64 - 1:016x}",
        }
        spec |= {
            "user": "ann",
            "code": None,
            "environment": {"kind": "none", "key": ""},
            "stages": [],
            "processes": processes,
        }
        spec |= {"merge": False, "end": "all", "time_limit_s": None, "grace_s": 1.0, "gang": False, "gate_s": 5.0}
        return spec | more

    def keeper(self) -> Client:
        """A connection to the keeper, started where there is none: with this node's home and kill points."""
        with ENVIRON:
            old = dict(os.environ)
            os.environ.update(self.environ)
            try:
                return keeper.connect(self.paths, DIGEST)
            finally:
                os.environ.clear()
                os.environ.update(old)

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request on a connection of its own."""
        client = self.keeper()
        try:
            return client.request({"do": do, **fields})
        finally:
            client.close()

    def launch(self, attempt: str, *commands: str | Sequence[str], **more: Any) -> dict[str, Any]:
        """Writes the spec and has it started; the keeper's reply."""
        real.perform(folder.write_spec(self.paths, attempt, self.spec(attempt, *commands, **more)))
        return self.ask("start", attempt=attempt)

    def stop(self, attempt: str, k: int = 1, why: str = "user", grace_s: float = 1.0) -> None:
        """Orders a stop, as a link does."""
        real.perform(folder.write_stop(self.paths, attempt, {"k": k, "why": why, "grace_s": grace_s, "by": "ann"}))
        self.ask("poke", attempt=attempt)

    def facts(self, attempt: str) -> dict[str, Any]:
        """The facts now."""
        return real.perform(folder.facts(self.paths, attempt))

    def word(self, attempt: str) -> str:
        """The verdict now."""
        return verdict.verdict(self.facts(attempt))

    def until(self, attempt: str, *words: str, within_s: float = 30.0) -> dict[str, Any]:
        """The facts once the verdict is one of the words (by default: any that is final)."""
        wanted = words or verdict.CLOSED

        def reached() -> dict[str, Any] | None:
            facts = self.facts(attempt)
            return facts if verdict.verdict(facts) in wanted else None

        def state() -> object:
            return verdict.verdict(self.facts(attempt)), self.facts(attempt), self.trouble(attempt)

        return wait_until(reached, within_s=within_s, show=state) or {}

    def settle(self, attempt: str, within_s: float = 30.0) -> dict[str, Any]:
        """What a controller does with a folder nobody watches: seals it, and asks until the verdict is final."""

        def closed() -> dict[str, Any] | None:
            facts = self.facts(attempt)
            if verdict.verdict(facts) == verdict.NEEDS_SEAL:
                facts = real.perform(folder.seal(self.paths, attempt, "nobody watches", "test"))
            elif verdict.verdict(facts) == verdict.ORPHAN:
                self.ask("poke", attempt=attempt)
            return facts if verdict.verdict(facts) in verdict.CLOSED else None

        return wait_until(closed, within_s=within_s, show=lambda: (self.facts(attempt), self.trouble(attempt))) or {}

    def trouble(self, attempt: str) -> str:
        """What a crashed shepherd or keeper wrote."""
        places = [Path(self.paths.run(attempt), folder.TROUBLE), Path(self.paths.local(f"keeper-{DIGEST}.trouble"))]
        return "\n".join(p.read_text() for p in places if p.exists())

    def text(self, attempt: str, name: str) -> str:
        """A file of the run folder."""
        path = Path(self.paths.run(attempt), name)
        return path.read_text() if path.exists() else ""

    def begun(self) -> int:
        """How often a program really began, by its own account."""
        return self.ledger.read_text().count("begin") if self.ledger.exists() else 0

    def shepherd(self, attempt: str) -> int:
        """The pid of the shepherd that started the attempt."""
        return int(self.facts(attempt)["processes"]["0"]["started"]["shepherd"][0])

    def close(self) -> None:
        """Ends everything with this store's mark, its shepherds and its keeper."""
        needle = str(self.home).encode()
        for _ in range(3):
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    told = Path("/proc", name, "cmdline").read_bytes() + Path("/proc", name, "environ").read_bytes()
                except OSError:
                    continue
                if needle in told and int(name) != os.getpid():
                    self.kill(int(name))

    @staticmethod
    def kill(pid: int) -> None:
        """SIGKILL to a process that may be gone."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    found = real.perform(_identity(pid))
    return found is not None and found[1] not in "ZX"


def _identity(pid: int) -> Any:
    return (yield Identity(pid))
