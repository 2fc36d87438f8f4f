"""What the fault tests share: a client of a sandbox, jobs whose bodies keep a ledger of their own, totals as JSON."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from afield.sdk.client import Client, submit_key
from afield.testing.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("AFIELD_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
BODY = 'echo "begin $AFIELD_JOB.$AFIELD_ATTEMPT" >> "$LEDGER"\n%s\n'
END = 'echo "end $AFIELD_JOB.$AFIELD_ATTEMPT" >> "$LEDGER"\nexit %d'


@contextmanager
def client_of(sandbox: Sandbox) -> Iterator[Client]:
    """A client of the sandbox's controller, which is started when it is first asked."""
    before = dict(os.environ)
    os.environ.update(sandbox.env)
    try:
        with Client() as client:
            yield client
    finally:
        os.environ.clear()
        os.environ.update(before)


def job(
    script: str, ledger: Path, *, code: int = 0, node: str = "local", policy: str = "pass", **variables: str
) -> dict[str, Any]:
    """A submission whose body notes its begin and end in `ledger`, and ends with `code`."""
    named = {"LEDGER": str(ledger), **variables}
    task = {"argv": ["sh", "-c", BODY % script + END % code], "variables": sorted(named.items())}
    body = {"key": submit_key(), "name": "", "user": "me", "task": task, "request": {"groups": [{"cpu": 0.05}]}}
    return {**body, "policy": policy, "nodes": [node]}


def noted(ledger: Path, word: str, number: int) -> list[str]:
    """The attempts of a job that noted `word`, in order."""
    lines = [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []
    return [line[1] for line in lines if line[0] == word and line[1].split(".")[0] == str(number)]


def report(what: str, count: int, violations: int, seed: int = SEED, **detail: Any) -> None:
    """Records what a campaign came to."""
    record({"what": what, "count": count, "violations": violations, "seed": seed, "detail": detail})


def record(totals: dict[str, Any]) -> None:
    """Shows totals and adds them to the file that AFIELD_TOTALS names, for tools/trust.py to read."""
    print(json.dumps(totals))
    asked = os.environ.get("AFIELD_TOTALS")
    if asked:
        path = Path(asked)
        known = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*known, totals], indent=1) + "\n")


def run_inside(kinds: list[str], target: str, *words: str) -> Any:
    """What `module:function` returns when it is called with `words` in namespaces of its own, as JSON can carry it.

    Skips where the machine does not give such namespaces.
    """
    enter = ["unshare", *kinds, "--fork", "--kill-child", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    try:
        probe = subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if probe.returncode:
        pytest.skip(f"no namespaces here: {probe.stderr.strip()}")
    command = [*enter, sys.executable, "-m", "tests.chaos.inside", target, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout.splitlines()[-1])
