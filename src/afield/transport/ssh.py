"""OpenSSH's own client as the carrier, so that the user's config, jumps, agents, hardware keys and second factors work.

The connection of a link is a control master: shells and forwards are channels of it. Where a person has logged in
before (`login_argv`), the link is itself a channel of that person's master, at the same control path.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from afield.errors import Unreachable, UsageError
from afield.transport import forwards, reap, refusal
from afield.transport.carrier import Carrier
from afield.transport.command import COMMAND
from afield.transport.link import Link
from afield.transport.start import start

# ssh binds "PATH.16 random characters" first; the kernel takes 107 bytes.
_PATH_LIMIT = 90
_PLAIN = re.compile(r"([A-Za-z0-9._-]+@)?[A-Za-z0-9._-]+")
_ORDER_S = 20.0
_ALWAYS = (
    *("-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),
)


class Ssh:
    """The way to one ssh host.

    `target` as the user would write it after `ssh`; `control` is the private folder for control sockets; `config`
    replaces the user's ssh config file; `agent` is the caller's SSH_AUTH_SOCK.
    """

    name = "ssh"

    def __init__(self, target: str, *, control: Path, config: str | None = None, agent: str = "") -> None:
        if not target or target.startswith("-"):
            raise UsageError(
                f"not an ssh host: {target!r}", hints=["write it as you would after ssh: name, or user@name"]
            )
        self.target = target
        self._config = config
        self._agent = agent
        self._folder = control
        name = hashlib.sha256(f"{config or ''}\n{target}".encode()).hexdigest()[:16]
        self.control = control / name
        if len(os.fsencode(self.control)) > _PATH_LIMIT:
            raise UsageError(
                f"the folder for control sockets has too long a path: {control}",
                why=f"with the socket's name it may have {_PATH_LIMIT} bytes",
                hints=["set XDG_RUNTIME_DIR to a shorter folder"],
            )

    async def open(self, store: str) -> Link:
        """A link to the host's runner. Raises Unreachable with a code that says what would help."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            carrier = Carrier(self.link_argv(), self._environment())
        except FileNotFoundError:
            raise refusal.no_client() from None
        reap.note(self._folder, carrier)
        return await start(self.target, store, carrier, self._explain)

    def link_argv(self) -> list[str]:
        """The command that carries a link; never asks anybody anything."""
        quiet = ("-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=15")
        return [*self._ssh("auto"), *quiet, "--", self.target, COMMAND]

    def shell_argv(self, script: str = "") -> list[str]:
        """A terminal on the host; a channel of the open connection where there is one."""
        words = [f"/bin/sh {shlex.quote(script)}"] if script else []
        return [*self._ssh("no"), "-t", "--", self.target, *words]

    def copy_argv(self) -> tuple[list[str], str] | None:
        """A channel of the open connection for rsync; None for a target that rsync would read in another way."""
        if not _PLAIN.fullmatch(self.target):
            return None
        return [*self._ssh("no"), "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"], self.target

    def login_argv(self) -> list[str] | None:
        """Logs in once, in the user's own terminal, and leaves a connection in the background for links to use."""
        return [*self._ssh("yes"), "-N", "-f", "--", self.target]

    def logout_argv(self) -> list[str]:
        """Ends the connection that `login_argv` left."""
        return [*self._ssh("no"), "-O", "exit", "--", self.target]

    async def check(self) -> bool:
        """Whether a connection is open at the control path."""
        argv = [*self._ssh("no"), "-O", "check", "--", self.target]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
        return await process.wait() == 0

    async def lend(self, path: Path) -> int:
        """A port of the host's loopback, chosen by it, over the open connection. Raises Unreachable `no-forward`."""
        said = await self._ask_master("forward", "-R", f"127.0.0.1:0:{path}")
        if not said.isdigit():
            raise Unreachable(f"{self.target} forwards nothing", why=said or "ssh named no port", code="no-forward")
        return int(said)

    async def take_back(self, path: Path) -> None:
        """The port is closed. Raises Unreachable when the connection is gone, and the port with it."""
        # In the words of the request: ssh does not know it by the port that it came to.
        await self._ask_master("cancel", "-R", f"127.0.0.1:0:{path}")

    async def forward(self, to: str) -> str:
        """A Unix socket of ours, for us alone, that leads to a port or a socket of the host. Raises Unreachable."""
        path = forwards.note(self._folder, self.control, to)
        try:
            await self._ask_master("forward", "-L", f"{path}:{forwards.place(to)}")
        except BaseException:
            forwards.forget(path)
            raise
        return str(path)

    async def end_forward(self, at: str, to: str) -> None:
        """The socket is gone. Raises Unreachable when the connection was, and the forward with it."""
        try:
            await self._ask_master("cancel", "-L", f"{at}:{forwards.place(to)}")
        finally:
            forwards.forget(Path(at))

    async def _ask_master(self, order: str, way: str, forward: str) -> str:
        """Give an order about a forward to the open connection; what ssh answers."""
        argv = [*forwards.argv(self.control, order, way, forward), "--", self.target]
        pipe = asyncio.subprocess.PIPE
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=pipe, stderr=pipe)
        try:
            out, errors = await asyncio.wait_for(process.communicate(), _ORDER_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Unreachable(f"{self.target} did not answer", why=f"ssh -O {order}", code="silent") from None
        # It ends with 0 where the open connection refused.
        if process.returncode or b"failed" in errors:
            why = errors.decode("utf-8", "replace").strip().splitlines()
            raise Unreachable(f"{self.target} forwards nothing", why=why[0] if why else order, code="no-forward")
        return out.decode("utf-8", "replace").strip()

    def _ssh(self, master: str) -> Sequence[str]:
        config = ("-F", self._config) if self._config else ()
        path = str(self.control).replace("%", "%%")
        control = ("-o", f"ControlMaster={master}", "-o", f"ControlPath={path}", "-o", "ControlPersist=no")
        return ("ssh", *config, *control, *_ALWAYS)

    def _environment(self) -> dict[str, str] | None:
        return {**os.environ, "SSH_AUTH_SOCK": self._agent} if self._agent else None

    async def _explain(self, failed: refusal.Failed) -> refusal.AfieldError:
        return await refusal.explain(self.target, self._config, failed)
