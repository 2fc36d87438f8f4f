"""Ways to package indexes for builds on nodes without internet: through us, for as long as one build takes."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afield.controller.session import Session
from afield.controller.watch import Watch
from afield.environment import indexes
from afield.environment.proxy import Proxy
from afield.environment.tree import hosts_in
from afield.errors import AfieldError, Unreachable
from afield.folders import Folders
from afield.model.ids import AttemptId, NodeName
from afield.model.task import Environment
from afield.runner import verdict
from afield.transport.link import Link

log = logging.getLogger(__name__)

_SUFFIX = ".way-"
LOOK_S = 5.0
"""How long to wait for news of a build before its connection is looked at."""


@dataclass(slots=True)
class Ways:
    """Opens a way when a build needs one, and takes it back when the build is over."""

    watch: Watch
    _reaching: dict[NodeName, Link] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        # One controller at a time has this door: what is there was left by one that was killed.
        for left in _door().parent.glob(f"{_door().stem}{_SUFFIX}*"):
            left.unlink(missing_ok=True)

    async def close(self) -> None:
        """Take all ways back."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def variables(
        self, attempt: AttemptId, environment: Environment, session: Session, spec: Mapping[str, Any]
    ) -> dict[str, str]:
        """What the build of an attempt needs in its environment to reach the indexes; {} where the node does itself.

        Connection errors pass through; where no way can be had, the reason goes along for the build to tell.
        """
        link = await session.link()
        if not environment.key or self._reaching.get(session.name) is link:
            return {}
        question = {"environment": spec["environment"]}
        asked, _ = await link.call("environment.ask", spec=question, hosts=[])
        if not asked["needed"]:
            return {}
        known = await asyncio.to_thread(indexes.configured)
        hosts = [found.rpartition(":")[::2] for found in hosts_in("\n".join(known[:1]).encode())]
        asked, _ = await link.call("environment.ask", spec=question, hosts=hosts)
        if asked["own"] or asked["reach"]:
            self._reaching[session.name] = link
            return {}
        return await self._open(attempt, environment, session, known)

    async def _open(
        self, attempt: AttemptId, environment: Environment, session: Session, known: list[str]
    ) -> dict[str, str]:
        allowed = await asyncio.to_thread(indexes.allowed, known, environment.hosts, environment.packages)
        proxy = Proxy(allowed)
        path = _door().with_suffix(f"{_SUFFIX}{secrets.token_hex(4)}")
        await proxy.start(path)
        try:
            port = await session.lend(path)
        except Unreachable as error:
            await proxy.close()
            return {"AFIELD_NO_WAY": f"{error.what}: {error.why}"}
        self.watch.tracker(attempt)
        log.info("%s has no way to %s: %s builds through us", session.name, known[:1], attempt)
        task = asyncio.create_task(self._until_built(attempt, session, proxy, path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        default = indexes.public(known)
        return {"HTTPS_PROXY": proxy.address(port), **({"UV_DEFAULT_INDEX": default} if default else {})}

    async def _until_built(self, attempt: AttemptId, session: Session, proxy: Proxy, path: Path) -> None:
        link = await session.link()
        try:
            while not link.closed.is_set() and not self._is_built(attempt, session.name):
                await self.watch.news(attempt, LOOK_S)
        finally:
            await proxy.close()
            try:
                await session.take_back(path)
            except AfieldError as error:
                log.info("the way of %s on %s went with its connection: %s", attempt, session.name, error.why)

    def _is_built(self, attempt: AttemptId, node: NodeName) -> bool:
        if not self.watch.follows(attempt):
            return True
        facts = self.watch.tracker(attempt).known.get(node)
        if facts is None:
            return False
        stage = facts.get("stages", {}).get("environment") or {}
        return stage.get("exit") is not None or verdict.verdict(facts) not in (verdict.ABSENT, verdict.PREPARING)


def _door() -> Path:
    return Path(Folders().socket)
