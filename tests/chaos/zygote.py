"""A parent that has loaded the server and forks controllers from itself: a fresh interpreter each time costs 0.7 s.

Run as a program it reads orders, one JSON object a line, and answers each with a line: a fork's pid, or what ended.
`Zygote` is our side of it. The parent has no thread and no loop, so a fork is a controller like any other.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

PR_SET_PDEATHSIG = 1


class Zygote:
    """The parent process; may be asked by several threads."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        root = Path(__file__).resolve().parents[2]
        words = [sys.executable, "-m", "tests.chaos.zygote"]
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=root)
        self._turn = Lock()

    def fork(self, state: Path, env: Mapping[str, str]) -> tuple[int, int]:
        """A controller of this store with this environment: its pid, and a descriptor of it."""
        with self._turn:
            pid = int(self._ask({"state": str(state), "env": dict(env)})["pid"])
            return pid, os.pidfd_open(pid)  # it is reaped at the next order, so not before this

    def ended(self) -> dict[str, int]:
        """How many forks ended with which exit status, or minus the signal."""
        with self._turn:
            return dict(self._ask({})["ended"])

    def close(self) -> None:
        """The parent leaves; its forks stay."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def main() -> None:
    """The parent: loads everything once, then serves orders until its input ends."""
    from afield.server.__main__ import main as serve
    from afield.server.desk import Desk
    from afield.server.process import config
    from afield.transport.bundle import bundle

    bundle()
    config(Desk()).load()
    out = os.fdopen(os.dup(1), "w")
    ended: Counter[str] = Counter()
    for line in sys.stdin:
        ended.update(_reap())
        order = json.loads(line)
        answer = {"pid": _fork(order, serve)} if order else {"ended": ended}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _reap() -> Iterator[str]:
    """How each that has ended since the last time did."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield str(os.waitstatus_to_exitcode(ended[1]))


def _fork(order: dict[str, Any], serve: Any) -> int:
    from afield.runner import points

    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        # A campaign that is killed leaves no controllers behind.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(order["env"])
        points.arm(os.environ)
        random.seed()
        log = os.open(f"{order['state']}/server.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 64)
        os.chdir("/")
        status = serve(["--state", order["state"]])
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
