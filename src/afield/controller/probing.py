"""Asks one node how it is, now, and bounded: for people who choose a machine."""

from __future__ import annotations

import asyncio
from typing import Any

from afield.controller.session import Host, Session
from afield.environment import indexes
from afield.environment.tree import hosts_in
from afield.errors import AfieldError, Unreachable

WITHIN_S = 20.0
"""A node that says nothing for so long is silent."""

_hosts: list[list[Host]] = []


async def hosts() -> list[Host]:
    """Where this machine's default package index is; asked once, as uv has to be started for it."""
    if not _hosts:
        known = await asyncio.to_thread(indexes.configured)
        found = [text.rpartition(":") for text in hosts_in("\n".join(known[:1]).encode())]
        _hosts.append([(name, int(port)) for name, _, port in found])
    return _hosts[0]


async def ask(session: Session, indexes_at: list[Host]) -> dict[str, Any]:
    """What the node says, or why it says nothing. Never raises what the node or its link does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    error: AfieldError | None = None
    facts: dict[str, Any] = {}
    try:
        facts = await asyncio.wait_for(session.probe(indexes_at), WITHIN_S)
    except TimeoutError:
        error = Unreachable(f"node {session.name} does not answer", why=f"it was silent for {WITHIN_S:.0f} s")
    except AfieldError as met:
        error = met
    return {
        "error": None if error is None else error.as_dict(),
        "took_s": round(loop.time() - began, 3),
        "skew_s": None if error else round(session.skew_s, 3),
        "internet": str(facts.get("internet", "")),
        "memory_free_bytes": facts.get("memory_free_bytes"),
        "disk_bytes": facts.get("disk_bytes"),
        "disk_free_bytes": facts.get("disk_free_bytes"),
        "load": facts.get("load"),
        "uv": str(facts.get("uv", "")),
        "devices_error": str(facts.get("devices_error", "")),
    }
