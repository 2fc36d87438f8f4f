"""Packages on top of what defines an environment: for the tool that a job is run by, not for the project."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from afield.environment.detect import Found
from afield.environment.tree import hosts_in
from afield.model.task import EnvironmentKind


def add(found: Found, packages: Sequence[str]) -> Found:
    """The environment with these packages too, under a name of its own. One that leaves the node as it is stays so."""
    known = found.environment
    if not packages or known.kind is EnvironmentKind.NONE:
        return found
    text = "\n".join(packages).encode("utf-8", "surrogateescape")
    key = hashlib.sha256(b"with\0" + known.key.encode("ascii") + b"\0" + text).hexdigest()[:32]
    hosts = tuple(sorted({*known.hosts, *hosts_in(text)}))
    made = replace(known, key=key, packages=(*known.packages, *packages), hosts=hosts)
    return replace(found, environment=made, line=f"{found.line} with {', '.join(packages)}")
