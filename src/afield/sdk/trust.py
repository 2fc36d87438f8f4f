"""Host keys, for the moment in which a person decides: what a host shows, and recording it after consent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from afield.transport import host_keys
from afield.transport.host_keys import HostKey


def fingerprints(target: str) -> list[HostKey]:
    """The keys that a host shows now. Raises Unreachable."""
    return asyncio.run(host_keys.fingerprints(target, os.environ.get("AFIELD_SSH_CONFIG")))


def trust(target: str, keys: Sequence[HostKey]) -> None:
    """Record these keys in the user's own known_hosts."""
    asyncio.run(host_keys.trust(target, keys, os.environ.get("AFIELD_SSH_CONFIG")))
