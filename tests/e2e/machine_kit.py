"""Hosts that have devices: a program `nvidia-smi` on their PATH which prints what real ones printed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from afield.testing.hosts import Host

MIB = 1024 * 1024
PROGRAM = """\
#!/bin/sh
case "$*" in
*query-gpu*) cat "$HOME/smi/gpus";;
*query-compute-apps*) cat "$HOME/smi/apps";;
esac
"""


def give_devices(host: Host, gpus: Sequence[str], apps: Sequence[str] = ()) -> None:
    """From the next probe on the host has these rows of `--query-gpu` and `--query-compute-apps`.

    Its login shell talks: a banner on both streams, as on many real machines.
    """
    for name, text, mode in (
        ("smi/gpus", "".join(f"{row}\n" for row in gpus), 0o644),
        ("smi/apps", "".join(f"{row}\n" for row in apps), 0o644),
        ("bin/nvidia-smi", PROGRAM, 0o755),
        (".bashrc", "echo '*** welcome to the lab ***'; echo 'disk quota: fine' >&2\nPATH=$HOME/bin:$PATH\n", 0o644),
    ):
        path = host.home / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        for made in (path, path.parent):
            os.chown(made, host.user.pw_uid, host.user.pw_gid)


def uuid(number: int) -> str:
    """A device's id as drivers write it."""
    return f"GPU-6a8b3c1e-0f54-2d11-9b3a-51c0a7e9{number:04x}"


def row(number: int, index: int, name: str, total_mib: int, used_mib: int = 4) -> str:
    """A row of `--query-gpu` as a driver of today prints it."""
    return f"{index}, {uuid(number)}, {name}, {total_mib}, {used_mib}, [N/A]"
