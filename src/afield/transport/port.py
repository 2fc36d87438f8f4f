"""What every transport gives: how one node is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from afield.transport.link import Link


class Transport(Protocol):
    """One way to one node."""

    name: str

    async def open(self, store: str) -> Link:
        """A link to the node's runner for this store. Raises Unreachable with a code that says what would help."""

    async def lend(self, path: Path) -> int:
        """Lets the node reach a Unix socket of ours by a port on its own loopback; the port. Raises Unreachable."""

    async def take_back(self, path: Path) -> None:
        """Ends what `lend` began. Raises Unreachable."""

    async def forward(self, to: str) -> str:
        """Where a port of the node ("6006": on its loopback) or a Unix socket of it ("/…") is reached here.

        In the same form: a port of ours or a socket's path. Raises Unreachable.
        """

    async def end_forward(self, at: str, to: str) -> None:
        """Ends what `forward` began. Raises Unreachable."""

    def shell_argv(self, script: str = "") -> list[str]:
        """The command that gives a terminal on the node; runs in the user's own terminal.

        With the path of a script there, /bin/sh runs that instead of a login shell.
        """

    def copy_argv(self) -> tuple[list[str], str] | None:
        """What rsync is given to reach the node: a remote shell and a host, which is "" for this machine.

        None where rsync cannot be used.
        """

    def login_argv(self) -> list[str] | None:
        """The command by which a person logs in once for the link to use; None where nobody ever has to."""
