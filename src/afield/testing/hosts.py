"""Real SSH hosts on this machine, each with its own address, sshd, keys and home folder.

    with Hosts(count=3) as hosts:
        subprocess.run(["ssh", "-F", hosts.ssh_config, "box1", "hostname"])

Give the same file to afield by AFIELD_SSH_CONFIG. As root, `users=True` makes a system user for every host: then hosts
cannot touch each other's files or processes, and nothing on them runs as root. Else all hosts are the current user.
Everything is stopped and removed when the block ends.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from afield.errors import UsageError
from afield.testing import people, sshd
from afield.testing.leftovers import abandoned, make_folder
from afield.testing.processes import Process, end_all, freeze, has_variable, running

PREFIX = "afh-"


class Host:
    """One host. Stop, start and cut it as a machine would fail; its files stay until the end of the block."""

    def __init__(self, name: str, address: str, folder: Path, ssh_config: Path) -> None:
        self.name = name
        self.address = address
        self.port = sshd.free_port(address)
        self.folder = folder
        self.home = folder / "home"
        self.ssh_config = ssh_config
        self.user = pwd.getpwuid(os.geteuid())
        self._owned = False
        self._way = (address, self.port)
        self._server: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        """The argument list that runs `words` on this host; ssh joins them for the host's shell."""
        return ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", self.name, *words]

    @property
    def host_key(self) -> str:
        """The public key as it stands in a known_hosts file."""
        return (self.folder / "host_key.pub").read_text().strip()

    @property
    def log(self) -> str:
        """What its sshd wrote so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def up(self) -> bool:
        """Whether it takes connections."""
        return self._server is not None and self._server.poll() is None

    def processes(self) -> list[Process]:
        """All that runs on this host, its sshd's root-owned parts not counted."""
        return [process for process in running() if self._is_ours(process)]

    def start(self) -> None:
        """Takes connections (again), at the same address and port."""
        self._begin()
        self._wait()

    def stop(self) -> None:
        """Off the network: refuses new connections and drops those it has. What runs on it goes on."""
        server, self._server = self._server, None
        if server is None:
            return
        # Held still, it accepts nobody between the look at its sessions and its end.
        server.send_signal(signal.SIGSTOP)
        sessions = {process.pid for process in _sessions(server.pid)}
        server.kill()
        server.wait()
        end_all(lambda process: process.pid in sessions and process.name in sshd.SESSIONS)

    def restart(self) -> None:
        """Drops all connections and takes new ones. What runs on it goes on."""
        self.stop()
        self.start()

    def cut(self) -> int:
        """Drops all connections at once while new ones are welcome; returns how many processes held them."""
        server = self._server
        if server is None:
            return 0
        sessions = {process.pid for process in _sessions(server.pid)}
        return end_all(lambda process: process.pid in sessions and process.name in sshd.SESSIONS)

    def rotate_host_key(self) -> None:
        """Gets a new host key, as after a reinstallation; known_hosts keeps the old one."""
        self.stop()
        sshd.make_key(self.folder / "host_key")
        self.start()

    def kill_everything(self) -> int:
        """The power is cut: the sshd and all that runs on the host end by SIGKILL. Returns how many that were."""
        self.stop()
        freeze(self._is_ours)
        return end_all(self._is_ours)

    def reboot(self) -> None:
        """The power is cut and comes back: nothing runs any more, and the boot id is a new one."""
        self.kill_everything()
        sshd.new_boot(self.folder)
        self.start()

    def _is_ours(self, process: Process) -> bool:
        if self._owned:
            return process.uid == self.user.pw_uid
        return has_variable(process, "HOME", str(self.home))

    def _make(self, *, account: str, shell: str, key: str) -> None:
        self.folder.mkdir(mode=0o711)
        self.home.mkdir(mode=0o700)
        if account:
            self.user = people.make(account, self.home, shell or "/bin/bash")
            self._owned = True
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
            text = sshd.own_account(self.address, self.port, self.folder)
        else:
            enter = self.folder / "enter"
            enter.write_text(sshd.ENTER)
            enter.chmod(0o755)
            text = sshd.same_account(self.address, self.port, self.folder, shell or self.user.pw_shell or "/bin/sh")
        (self.folder / "sshd_config").write_text(text)
        (self.folder / "authorized_keys").write_text(key)
        (self.folder / "authorized_keys").chmod(0o644)
        sshd.make_key(self.folder / "host_key")
        sshd.new_boot(self.folder)

    def _begin(self) -> None:
        if not self.up:
            self._server = sshd.spawn(self.folder)

    def _wait(self) -> None:
        if self._server is not None:
            sshd.wait_for(self._server, (self.address, self.port), self.folder / "log")

    def _remove(self) -> None:
        self.kill_everything()
        if self._owned:
            people.remove(self.user)

    def _config(self, folder: Path) -> str:
        return (
            f"Host {self.name}\n"
            f"    HostName {self._way[0]}\n    Port {self._way[1]}\n    User {self.user.pw_name}\n"
            f"    HostKeyAlias [{self.address}]:{self.port}\n"
            f'    IdentityFile "{folder / "identity"}"\n    IdentitiesOnly yes\n    IdentityAgent none\n'
            f'    UserKnownHostsFile "{folder / "known_hosts"}"\n    GlobalKnownHostsFile /dev/null\n'
            f"    HostKeyAlgorithms ssh-ed25519\n    UpdateHostKeys no\n    LogLevel ERROR\n\n"
        )


class Hosts:
    """`count` hosts named box1, box2, ... while the block lasts.

    `folder`: where their files go, kept afterwards; by default a temporary one, removed at the end.
    `users`: a system user for every host; needs root. `shell`: their login shell.
    `known`: fill known_hosts; without it every host is a stranger.
    """

    def __init__(
        self, count: int = 3, *, folder: Path | None = None, users: bool = False, shell: str = "", known: bool = True
    ) -> None:
        if users and os.geteuid() != 0:
            raise UsageError("only root can make a system user for every host", hints=["use Hosts(users=False)"])
        if not 1 <= count <= 254:
            raise UsageError(f"{count} hosts: between 1 and 254 fit into the addresses 127.0.1.N")
        self._count, self._users, self._shell, self._known = count, users, shell, known
        self._temporary = folder is None
        self.folder = folder.absolute() if folder else make_folder(PREFIX)
        self.ssh_config = self.folder / "ssh_config"
        self.known_hosts = self.folder / "known_hosts"
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        try:
            self._make()
            for host in self._hosts:
                host._begin()
            for host in self._hosts:
                host._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __getitem__(self, which: int | str) -> Host:
        if isinstance(which, int):
            return self._hosts[which]
        return next(host for host in self._hosts if host.name == which)

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def trust(self) -> None:
        """Writes the hosts' present keys to known_hosts."""
        lines = [f"[{host.address}]:{host.port} {host.host_key}\n" for host in self._hosts]
        self.known_hosts.write_text("".join(lines))

    def route(self, name: str, address: str, port: int) -> None:
        """Leads ssh to that host by another way from now on, such as a Proxy; its key stays what it was."""
        self[name]._way = (address, port)
        self._write_config()

    def _write_config(self) -> None:
        self.ssh_config.write_text("".join(host._config(self.folder) for host in self._hosts))

    def _make(self) -> None:
        sshd.find()
        sweep()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._users:
            self._let_others_in()
        sshd.make_key(self.folder / "identity")
        key = (self.folder / "identity.pub").read_text()
        mark = secrets.token_hex(3)
        for number in range(1, self._count + 1):
            host = Host(f"box{number}", f"127.0.1.{number}", self.folder / f"box{number}", self.ssh_config)
            self._hosts.append(host)
            host._make(account=f"afield-{mark}-{number}" if self._users else "", shell=self._shell, key=key)
        self._write_config()
        if self._known:
            self.trust()

    def _let_others_in(self) -> None:
        """Their users must be able to reach their homes, and find nothing on the way."""
        self.folder.chmod(0o711)
        closed = [folder for folder in self.folder.parents if not folder.stat().st_mode & 0o001]
        if closed:
            raise UsageError(
                f"other users cannot reach {self.folder}", why=f"{closed[-1]} is closed", hints=["leave out folder="]
            )

    def _end(self) -> None:
        # Backwards, and each one even when another fails.
        with ExitStack() as last:
            if self._temporary:
                last.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for host in self._hosts:
                last.callback(host._remove)
        self._hosts.clear()


def sweep() -> None:
    """Ends and removes what killed processes could not: their hosts' programs, users and temporary folders."""
    if os.geteuid() == 0:
        people.sweep()
    for folder in abandoned(PREFIX):
        for box in folder.glob("box*"):
            end_all(partial(has_variable, name="HOME", value=str(box / "home")))
        shutil.rmtree(folder, ignore_errors=True)


def _sessions(server: int) -> list[Process]:
    """The sshd processes that hold the connections which that sshd accepted."""
    parents, found = {server}, []
    everyone = [process for process in running() if process.name in sshd.SESSIONS]
    while children := [process for process in everyone if process.parent in parents]:
        found += children
        parents = {process.pid for process in children}
    return found
