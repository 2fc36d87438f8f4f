"""What all requests share: the controller, who we are, and how to leave."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import time
from dataclasses import dataclass, field

from afield.build import VERSION, build
from afield.errors import Fault
from afield.server.port import ControllerPort

API = 1


def owner() -> str:
    """The name of the account that the server runs under."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@dataclass(slots=True)
class Desk:
    """The server's own state; lives on the event loop. Without a controller it can only describe its API."""

    engine: ControllerPort | None = None
    state: str = ""
    cache: str = ""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    user: str = field(default_factory=owner)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    open_requests: int = 0
    used_at: float = field(default_factory=time.monotonic)

    @property
    def controller(self) -> ControllerPort:
        """The controller."""
        if self.engine is None:
            raise Fault("the server has no controller")
        return self.engine

    def hello(self) -> dict[str, object]:
        """Who answers."""
        return {
            "api": API,
            "build": build(),
            "version": VERSION,
            "pid": os.getpid(),
            "store": self.controller.store_id,
            "state": self.state,
            "seq": self.controller.seq,
        }

    def idle_s(self) -> float:
        """For how long, in seconds, nobody asked for anything and there was no work; ask often."""
        if self.open_requests or self.controller.idle_since is None:
            self.used_at = time.monotonic()
        return time.monotonic() - self.used_at
