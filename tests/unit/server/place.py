"""A folder of its own for one real server process with the small controller, and ways to look at it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from afield.folders import Folders
from afield.sdk.client import Client
from afield.sdk.door import Door

MEMORY = Path(__file__).with_name("memory.py")


class Place:
    """Where a test's server lives; needs AFIELD_RUNTIME_DIR to be the test's own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.folders = Folders(str(state))
        self.client = Client(self.door())

    def door(self) -> Door:
        """Another way in."""
        return Door(self.folders, [sys.executable, str(MEMORY)])

    @property
    def pid(self) -> int:
        """The process that holds the store, by its lock file."""
        return int(json.loads((self.state / "server.lock").read_text())["pid"])

    def kill(self) -> int:
        """End the server without a word; gives the number it had."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        assert self.door().wait_gone(10)
        return pid

    def close(self) -> None:
        """Leave nothing behind."""
        self.client.close()
        if (self.state / "server.lock").exists():
            self.client.leave()


def job(*argv: str, **more: Any) -> dict[str, Any]:
    """A submission of a command."""
    return {"task": {"argv": list(argv)}, "request": {}, "name": "", "user": "", **more}
