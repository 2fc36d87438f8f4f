"""Puts a controller together from real parts."""

from __future__ import annotations

from pathlib import Path

from afield.backends.local import LocalBackend
from afield.backends.port import Backend
from afield.backends.ssh import SshBackend
from afield.controller.core import Controller
from afield.controller.real import REAL
from afield.store.output import Mirror
from afield.store.place import place
from afield.store.sqlite import SqliteStore
from afield.transport import forwards, reap


def make(state: Path, cache: Path, runtime: Path, ssh_config: str | None = None) -> Controller:
    """The controller of one store, with the backends that a person's own machine has. Raises StoreRefused.

    Connections and forwards that a killed controller left are ended first.
    """
    reap.reap(runtime)
    forwards.reap(runtime)
    folder = place(state)
    store = SqliteStore.open(folder)
    mirror = Mirror(folder / "output")
    backends: dict[str, Backend] = {"local": LocalBackend(), "ssh": SshBackend(runtime, ssh_config)}
    return Controller(store, mirror, cache, backends, REAL)
