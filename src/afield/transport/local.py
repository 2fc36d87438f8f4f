"""This machine as a node: its runner is a child of ours in a session of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from afield.errors import AfieldError, Unreachable
from afield.transport import command
from afield.transport.carrier import Carrier
from afield.transport.link import Link
from afield.transport.start import Failed, start


class Local:
    """The way to this machine. `environment` replaces that of this process for the runner."""

    name = "local"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment

    async def open(self, store: str) -> Link:
        """A link to this machine's runner. Raises Unreachable, for instance when the home folder cannot be written."""
        carrier = Carrier(command.local_argv(sys.executable or "python3"), self._environment)
        return await start("this machine", store, carrier, _explain)

    async def lend(self, path: Path) -> int:
        """Nothing is lent to where it is already. Raises Unreachable."""
        raise Unreachable("this machine reaches what it reaches", why=f"{path} is on it", code="no-forward")

    async def take_back(self, path: Path) -> None:
        """Nothing was lent."""

    async def forward(self, to: str) -> str:
        """Where it is."""
        return to

    async def end_forward(self, at: str, to: str) -> None:
        """Nothing was begun."""

    def shell_argv(self, script: str = "") -> list[str]:
        """A login shell, or a script."""
        return ["/bin/sh", script] if script else [os.environ.get("SHELL") or "/bin/sh", "-l"]

    def copy_argv(self) -> tuple[list[str], str] | None:
        """No remote shell: the same files."""
        return [], ""

    def login_argv(self) -> list[str] | None:
        """Nobody logs in."""
        return None


async def _explain(failed: Failed) -> AfieldError:
    lines = (failed.stderr or failed.output).splitlines()
    return Unreachable(
        "the runner of this machine did not start", why=lines[-1] if lines else f"status {failed.status}"
    )
