"""Ways to package indexes for builds on nodes without internet: through us, for as long as one build takes.

A build asks for a way by itself, in its run folder, once it knows that it needs one, and again when its way is lost: so
it is answered on the next connection too, by whichever controller there is then.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from afield.controller.session import Session
from afield.controller.watch import Stage, Watch
from afield.environment import indexes
from afield.environment.proxy import Proxy
from afield.environment.tree import hosts_in
from afield.errors import AfieldError, Unreachable, in_words
from afield.folders import Folders
from afield.model.ids import AttemptId, NodeName
from afield.model.task import Environment
from afield.runner import verdict
from afield.transport.link import Link

log = logging.getLogger(__name__)

_SUFFIX = ".way-"
LOOK_S = 5.0
"""How long to wait for news of a build before its connection is looked at."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A way that is open: for which question, on which connection, and what the build needs in its environment."""

    id: str
    link: Link
    variables: dict[str, str]


@dataclass(slots=True)
class Ways:
    """Opens a way when a build asks for one, and takes it back when the build is over."""

    watch: Watch
    _held: dict[tuple[AttemptId, NodeName], _Held] = field(default_factory=dict)
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

    async def indexes(self) -> list[list[str]]:
        """The hosts of the default index as [name, port]: a build that reaches one of them needs no way."""
        known = await asyncio.to_thread(indexes.configured)
        return [list(found.rpartition(":")[::2]) for found in hosts_in("\n".join(known[:1]).encode())]

    async def give(self, attempt: AttemptId, environment: Environment, session: Session) -> None:
        """Answer a build that waits for a way. May be repeated; connection errors pass through.

        Where no way can be had, the reason goes along for the build to tell.
        """
        link = await session.link()
        asks = verdict.waits_for_way(self.watch.tracker(attempt).known.get(session.name) or {"stages": {}})
        if asks is None:
            return
        held = self._held.get((attempt, session.name))
        if held is None or held.id != asks["id"] or held.link is not link:
            held = await self._open(attempt, environment, session, _Held(asks["id"], link, {}))
        await link.call("environment.way", attempt=str(attempt), asked=held.id, way=held.variables)

    async def _open(self, attempt: AttemptId, environment: Environment, session: Session, asked: _Held) -> _Held:
        known = await asyncio.to_thread(indexes.configured)
        allowed = await asyncio.to_thread(indexes.allowed, known, environment.hosts, environment.packages)
        proxy = Proxy(allowed)
        path = _door().with_suffix(f"{_SUFFIX}{secrets.token_hex(4)}")
        await proxy.start(path)
        try:
            port = await session.lend(path)
        except Unreachable as error:
            await proxy.close()
            if asked.link.closed.is_set():
                raise
            return _Held(asked.id, asked.link, {"AFIELD_NO_WAY": in_words(error)})
        log.info("%s has no way to %s: %s builds through us", session.name, known[:1], attempt)
        default = indexes.public(known)
        variables = {"HTTPS_PROXY": proxy.address(port), **({"UV_DEFAULT_INDEX": default} if default else {})}
        held = self._held[attempt, session.name] = _Held(asked.id, asked.link, variables)
        task = asyncio.create_task(self._until_built(attempt, session, held, proxy, path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return held

    async def _until_built(self, attempt: AttemptId, session: Session, held: _Held, proxy: Proxy, path: Path) -> None:
        key = (attempt, session.name)
        try:
            while not held.link.closed.is_set() and self._held.get(key) is held and not self._is_built(*key):
                await self.watch.news(attempt, LOOK_S)
            if held.link.closed.is_set() and not self._is_built(*key):
                text = (
                    f"{session.name} reaches the package index by way of here only; the build goes on when it answers"
                )
                self.watch.stage(attempt, Stage("env", "waits", text))
        finally:
            if self._held.get(key) is held:
                del self._held[key]
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
