"""Host keys of the user's machines: what a machine shows, and the user's consent to it. Checking is never switched off.

The key is asked for by ssh itself, with a known_hosts file for this one question and without any login, so that jumps
and aliases lead to the same machine as later.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from afield.errors import AfieldError, Unreachable

_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class HostKey:
    """One key of a machine: its `kind` (`ssh-ed25519`), its `fingerprint` (`SHA256:...`), its known_hosts `line`."""

    kind: str
    fingerprint: str
    line: str


async def fingerprints(target: str, config: str | None = None) -> list[HostKey]:
    """The keys that the machine shows now. Raises Unreachable when it shows none."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "fresh")
        question = (
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={fresh}",
            f"GlobalKnownHostsFile={folder}/none",
        )
        nobody = (
            "BatchMode=yes",
            "PreferredAuthentications=none",
            "ControlPath=none",
            "LogLevel=ERROR",
            "ConnectTimeout=15",
        )
        options = [word for option in (*question, *nobody) for word in ("-o", option)]
        words = await _output([*_ssh(config), *options, "-T", "--", target, "true"])
        lines = fresh.read_text().splitlines() if fresh.exists() else []
    keys = [key for key in map(_key, lines) if key is not None]
    if not keys:
        last = words.strip().splitlines()
        raise Unreachable(f"{target} shows no host key", why=last[-1] if last else "", hints=(f"ssh {target} true",))
    return keys


async def trust(target: str, keys: Sequence[HostKey], config: str | None = None) -> Path:
    """Add these keys to the user's known_hosts; only for keys that a person agreed to. The file that has them now."""
    settings = await _output([*_ssh(config), "-G", "--", target])
    files = [line.split(None, 1)[1] for line in settings.splitlines() if line.lower().startswith("userknownhostsfile ")]
    path = Path(os.path.expanduser(files[0].split()[0].strip('"') if files else "~/.ssh/known_hosts"))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a+b") as file:
        file.seek(0)
        before = file.read()
        start = b"" if not before or before.endswith(b"\n") else b"\n"
        file.write(start + "".join(key.line + "\n" for key in keys).encode())
    return path


def recorded(path: str, line: int) -> str:
    """The fingerprint in that line (from 1) of a known_hosts file; "" when there is none."""
    try:
        found = _key(Path(path).read_text(errors="replace").splitlines()[line - 1])
    except (OSError, IndexError):
        return ""
    return found.fingerprint if found else ""


def _key(line: str) -> HostKey | None:
    words = [word for word in line.split() if not word.startswith(("@", "#"))]
    if len(words) < 3:
        return None
    try:
        digest = hashlib.sha256(base64.b64decode(words[2], validate=True)).digest()
    except binascii.Error:
        return None
    return HostKey(words[1], "SHA256:" + base64.b64encode(digest).decode().rstrip("="), line)


def _ssh(config: str | None) -> list[str]:
    return ["ssh", "-F", config] if config else ["ssh"]


async def _output(argv: list[str]) -> str:
    """Everything the program says. Raises AfieldError where there is no ssh."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError:
        raise AfieldError("no ssh client was found", code="no-ssh") from None
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return "no answer in time"
    return out.decode("utf-8", "replace")
