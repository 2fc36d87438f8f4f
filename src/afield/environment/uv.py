"""uv for nodes that have none: the binary of the installed `uv` wheel, sent over the link once per node and version."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from uv import find_uv_bin

from afield.errors import SetupFailed
from afield.model.task import Environment
from afield.runner import points

MINIMUM = (0, 12)
"""The oldest uv that the builds on nodes can use; the runner has the same number."""
PIECE = 4 * 1024 * 1024


class Link(Protocol):
    """The part of a node's link that is needed here."""

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        """One request; gives the reply's head and data."""


@lru_cache(maxsize=1)
def binary() -> tuple[str, Path]:
    """Version and path of the uv that was installed with afield. Raises SetupFailed when it is missing or broken."""
    try:
        path = Path(find_uv_bin())
        text = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupFailed(
            "the uv that came with afield does not work",
            why=str(error),
            hints=["install afield again: pip install --force-reinstall uv"],
        ) from error
    return text.split()[1], path


def needs_uv(environment: Environment) -> bool:
    """Whether a node must have uv to make this environment: every one that has a folder of its own."""
    return bool(environment.key)


async def ensure(link: Link, facts: MutableMapping[str, Any]) -> None:
    """Sees to it that the node has a uv that is new enough, sending ours if need be; notes it in `facts`.

    `facts` is the node's answer to `probe` (`uv`, `arch`, `system`). Not to be called twice at once for one node.
    Raises SetupFailed when our binary cannot run there; connection errors pass through.
    """
    if _numbers(str(facts.get("uv", ""))) >= MINIMUM:
        return
    version, path = await asyncio.to_thread(binary)
    _check_machine(str(facts.get("system") or "Linux"), str(facts.get("arch", "")), str(facts.get("uv", "")))
    total = path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while data := await asyncio.to_thread(file.read, PIECE):
            last = offset + len(data) >= total
            with points.around("controller.uv"):
                await link.call("uv.put", data, version=version, offset=offset, total=total, last=last)
            offset += len(data)
    facts["uv"] = version


def _check_machine(system: str, arch: str, has: str) -> None:
    ours = (platform.system(), os.uname().machine)
    if system == ours[0] and arch in ("", ours[1]):
        return
    wanted = ".".join(map(str, MINIMUM))
    raise SetupFailed(
        f"the node has no uv {wanted} or newer, and ours does not run there"
        if has
        else "the node has no uv, and ours does not run there",
        why=f"the node is {system} {arch}, this machine is {ours[0]} {ours[1]}" + (f"; its uv is {has}" if has else ""),
        hints=[
            "install uv on the node: python3 -m pip install --user uv",
            "or bring your own Python there: afield run --environment none …",
        ],
    )


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
