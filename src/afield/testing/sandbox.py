"""A private afield on this machine: own home, state, cache, runtime and project folder, gone when the block ends.

    with Sandbox() as sandbox:
        (sandbox.project / "train.py").write_text("print('hello')")
        assert sandbox.afield("run", "train.py").stdout == b"hello\n"

Everything that is started in it carries AFIELD_SANDBOX=<id> or the sandbox's HOME; by these it is found and ended.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from afield.errors import AfieldError
from afield.testing.leftovers import abandoned, make_folder
from afield.testing.processes import Process, command_line, end_all, has_variable, running

# What downloads need on this machine is no part of what is tested.
PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "UV_CACHE_DIR")

PREFIX = "afs-"


class Sandbox:
    """The folders, the environment `env` for commands in it, and the `afield` command itself.

    `ssh_config`: the hosts that it may reach, as a file for ssh. `variables`: added to `env`.
    """

    def __init__(self, ssh_config: Path | None = None, variables: Mapping[str, str] | None = None) -> None:
        self.id = secrets.token_hex(6)
        sweep()
        self.root = make_folder(PREFIX)
        self.home, self.state, self.cache = (self._folder(name) for name in ("home", "state", "cache"))
        self.runtime, self.project = self._folder("run"), self._folder("project")
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AFIELD_STATE_DIR": str(self.state),
            "AFIELD_CACHE_DIR": str(self.cache),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "AFIELD_SANDBOX": self.id,
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            **({"AFIELD_SSH_CONFIG": str(ssh_config)} if ssh_config else {}),
            **(variables or {}),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def afield(self, *words: str, given: bytes = b"", within_s: float = 60.0) -> subprocess.CompletedProcess[bytes]:
        """Runs the installed `afield` in the project folder to its end. Raises AfieldError when it takes too long."""
        with self.start(*words) as command:
            try:
                out, err = command.communicate(given, timeout=within_s)
            except subprocess.TimeoutExpired:
                command.kill()
                out, err = command.communicate()
                raise AfieldError(
                    f"afield {' '.join(words)} did not end within {within_s:g} s", why=self.story(out, err)
                ) from None
        return subprocess.CompletedProcess(command.args, command.returncode, out, err)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Starts the installed `afield` in the project folder, with pipes for input, output and errors."""
        program = str(Path(sys.executable).parent / "afield")
        pipe = subprocess.PIPE
        return subprocess.Popen([program, *words], cwd=self.project, env=self.env, stdin=pipe, stdout=pipe, stderr=pipe)

    def processes(self) -> list[Process]:
        """All that runs in the sandbox, whoever started it."""
        return [process for process in running() if self._is_ours(process)]

    def story(self, out: bytes = b"", err: bytes = b"") -> str:
        """What a person needs to see when a test fails: last words, the server's log, what still runs."""
        log = self.state / "server.log"
        parts = {
            "output": out.decode(errors="replace"),
            "errors": err.decode(errors="replace"),
            "server.log": log.read_text(errors="replace") if log.exists() else "",
            "processes": "\n".join(f"{p.pid} {' '.join(command_line(p))}" for p in self.processes()),
        }
        return "\n".join(f"--- {name}\n{text[-3000:]}" for name, text in parts.items() if text)

    def close(self) -> None:
        """Asks the controller to leave, ends what stays, removes the folders."""
        try:
            end_all(lambda process: self._is_ours(process) and _is_server(process), how=signal.SIGTERM, within_s=5)
        except AfieldError:
            pass  # a controller that does not leave is one of those that are ended next
        end_all(self._is_ours)
        shutil.rmtree(self.root, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(mode=0o700)
        return folder

    def _is_ours(self, process: Process) -> bool:
        return has_variable(process, "AFIELD_SANDBOX", self.id) or has_variable(process, "HOME", str(self.home))


def sweep() -> None:
    """Ends and removes the sandboxes whose makers were killed."""
    for folder in abandoned(PREFIX):
        end_all(partial(has_variable, name="HOME", value=str(folder / "home")))
        shutil.rmtree(folder, ignore_errors=True)


def _is_server(process: Process) -> bool:
    words = command_line(process)
    return "afield.server" in words or any(word.endswith("/afield/server/__main__.py") for word in words)
