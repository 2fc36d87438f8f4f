"""`afield.current()`: what a program may know of the job that it is, and what it may say of itself.

Works under Python 3.8 with nothing installed. Outside a job everything is there too: what says something says it to
nobody, and the folders are below `outputs/local` here.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

TYPE_CHECKING = False  # read by type checkers as true; typing is slow to import
if TYPE_CHECKING:
    from typing import Any, SupportsFloat

OUTSIDE = "outputs/local"
PROGRESS_S = 0.2
"""Progress is written at most so often; the last word always is."""


class Current:
    """The job that this process belongs to; made by `current()`."""

    def __init__(self) -> None:
        self._stop = False
        self._listening = False
        self._told_at = 0.0

    @property
    def inside(self) -> bool:
        """Whether this is a job at all."""
        return bool(os.environ.get("AFIELD_MARK"))

    @property
    def job(self) -> int:
        """The number of the job; 0 outside."""
        return _number("AFIELD_JOB", 0) if self.inside else 0

    @property
    def attempt(self) -> int:
        """Which try of the job this is, from 1 on; 0 outside."""
        return _number("AFIELD_ATTEMPT", 0) if self.inside else 0

    @property
    def node(self) -> str:
        """The name of the node; "" outside."""
        return os.environ.get("AFIELD_NODE", "") if self.inside else ""

    @property
    def rank(self) -> int:
        """The number of this process among all of the job; launchers such as torchrun set it anew for theirs."""
        return _number("RANK", 0)

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        return _number("WORLD_SIZE", 1)

    @property
    def resuming(self) -> bool:
        """Whether an attempt of this job ran before, and this one shall go on where that one stopped."""
        return self.inside and os.environ.get("AFIELD_RESUME") == "1"

    @property
    def output_dir(self) -> Path:
        """The folder whose files come home as results; it exists."""
        return self._folder("OUTPUT_DIR", OUTSIDE)

    @property
    def keep_dir(self) -> Path:
        """The folder for checkpoints; it exists."""
        return self._folder("KEEP_DIR", OUTSIDE + "/keep")

    def stop_requested(self) -> bool:
        """Whether the job was asked to stop (it got TERM): save what is needed and end; KILL follows the grace time.

        TERM ends a program that never asks. From the first call on, which must be made in the main thread, it only
        counts here, and for a handler that was there before.
        """
        if not self._listening:
            self._listen()
        return self._stop

    def progress(self, done: SupportsFloat, total: SupportsFloat | None = None) -> None:
        """How far it is: `done` of `total`, in any unit. A disk that refuses it does not stop the program."""
        said = {"done": float(done), "total": None if total is None else float(total), "at": time.time()}
        now = time.monotonic()
        if self.inside and (now - self._told_at >= PROGRESS_S or said["done"] == said["total"]):
            self._told_at = now
            self._say("progress", said, append=False)

    def metric(self, step: float | None = None, **values: SupportsFloat) -> None:
        """Numbers to look at later: `metric(step=3, loss=0.25)`. A disk that refuses them does not stop the program."""
        said: dict[str, Any] = {name: float(value) for name, value in values.items()}
        if self.inside:
            self._say("metrics", {"at": time.time(), "step": step, "values": said}, append=True)

    def _listen(self) -> None:
        before = signal.getsignal(signal.SIGTERM)

        def asked(number: int, frame: Any) -> None:
            self._stop = True
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, asked)
        self._listening = True

    def _folder(self, name: str, outside: str) -> Path:
        folder = Path(os.environ[name]) if self.inside else Path(outside)
        folder.mkdir(parents=True, exist_ok=True)
        return folder.absolute()

    def _say(self, kind: str, said: dict[str, Any], *, append: bool) -> None:
        folder = os.path.join(os.environ["JOB_DIR"], kind)
        path = os.path.join(folder, str(self.rank))
        line = (json.dumps(said) + "\n").encode("ascii")
        target = path if append else "%s.%d" % (path, os.getpid())
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        try:
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(target, flags, 0o666)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
            if not append:
                os.replace(target, path)
        except OSError:
            return  # what the program computes is worth more than what it says of it


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise


_CURRENT = Current()


def current() -> Current:
    """The job that this process belongs to; outside a job one that answers all the same."""
    return _CURRENT
