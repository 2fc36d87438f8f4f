"""What one test host's sshd is told: its configuration, its keys, and how long to wait for its port."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

from afield.errors import AfieldError

SERVERS = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/libexec/sshd")
SFTP = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
SESSIONS = frozenset({"sshd", "sshd-session", "sshd-auth"})

# Below what the kernel gives to outgoing connections: a host that is stopped finds its port free again.
PORTS = range(20000, 32000)

# Key exchange over one cheap curve: a login costs a third of the default's processor time.
COMMON = """\
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
KexAlgorithms curve25519-sha256
MaxStartups 1000
MaxSessions 1000
"""

# Without an account of its own a host shares its user's home folder and shell: sshd would start every command there.
# SHLVL makes the account's shell believe that it is not the first one, so that only the host's own reads start files.
ENTER = """\
#!/bin/sh
cd "$HOME" || exit 1
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND SHLVL
if [ -n "$command" ]; then exec "$SHELL" -c "$command"; else exec "$SHELL" -l; fi
"""


def find() -> str:
    """The path of sshd. Raises AfieldError where it is not installed."""
    found = shutil.which("sshd") or next((path for path in SERVERS if os.access(path, os.X_OK)), None)
    if found is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        raise AfieldError("sshd was not found", hints=["apt-get install openssh-server openssh-client"])
    return found


def own_account(address: str, port: int, folder: Path) -> str:
    """The configuration of a host whose people log in to their own account."""
    return _listen(address, port, folder) + f'SetEnv "{_boot(folder)}"\nSubsystem sftp internal-sftp\n'


def same_account(address: str, port: int, folder: Path, shell: str) -> str:
    """The configuration of a host whose people are the current user, in the host's own home folder."""
    sftp = next((path for path in SFTP if os.access(path, os.X_OK)), "")
    return "".join(
        [
            _listen(address, port, folder),
            f'SetEnv "{_boot(folder)}" "HOME={folder / "home"}" "SHELL={shell}" SHLVL=1\n',
            f"ForceCommand {shlex.quote(str(folder / 'enter'))}\n",
            f"Subsystem sftp {sftp}\n" if sftp else "",
        ]
    )


def new_boot(folder: Path) -> None:
    """Gives the host a new boot id: afield's runner reads it there instead of the kernel's."""
    (folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
    (folder / "boot_id").chmod(0o644)


def _boot(folder: Path) -> str:
    return f"AFIELD_BOOT_FILE={folder / 'boot_id'}"


def _listen(address: str, port: int, folder: Path) -> str:
    parts = [
        f"ListenAddress {address}:{port}\n",
        f'HostKey "{folder / "host_key"}"\n',
        f'AuthorizedKeysFile "{folder / "authorized_keys"}"\n',
        COMMON,
        # It would lock out the address that every test comes from.
        "PerSourcePenalties no\n" if _version() >= (9, 8) else "",
    ]
    return "".join(parts)


def _version() -> tuple[int, int]:
    text = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def make_key(path: Path) -> None:
    """A new key pair at `path` and `path`.pub, in the place of an older one."""
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


def free_port(address: str) -> int:
    """A port that nobody listens on at that address."""
    for port in random.sample(PORTS, k=100):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise AfieldError(f"no free port was found at {address}")


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Starts the sshd of that folder; it ends with this process, even when this process is killed."""
    words = [find(), "-D", "-E", str(folder / "log"), "-f", str(folder / "sshd_config")]
    # The kernel ties the sshd to the thread that starts it: only the main thread is sure to stay.
    if shutil.which("setpriv") and threading.current_thread() is threading.main_thread():
        words = ["setpriv", "--pdeathsig", "KILL", "--", *words]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(server: subprocess.Popen[bytes], address: tuple[str, int], log: Path, within_s: float = 10.0) -> None:
    """Returns when the sshd takes connections. Raises AfieldError with its log when it ends or stays silent."""
    deadline = time.monotonic() + within_s
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.003)
    text = log.read_text(errors="replace")[-2000:] if log.exists() else "it wrote no log"
    raise AfieldError(f"sshd did not listen on {address[0]}:{address[1]}", why=text.strip())
