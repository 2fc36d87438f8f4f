"""Performs orders on nodes, each at most once at a time; a repeated one finds its key taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from afield.controller.launch import Launcher
from afield.controller.session import Session
from afield.controller.settle import SYNC, Order
from afield.controller.watch import Stage
from afield.errors import AfieldError, SetupFailed, Unreachable, in_words
from afield.model.attempt import Attempt
from afield.model.event import AttemptAcked
from afield.model.ids import AttemptId, NodeName
from afield.model.job import Job
from afield.runner import points

log = logging.getLogger(__name__)

AGAIN_S = 0.5
"""Before an order is given again that a broken connection or a refusing node kept from its effect."""

REPEAT_S = 2.0
"""Before an order is repeated that was carried, when the facts say that it had no effect (yet)."""

LAUNCH = "launch"
"""The line of progress that tells of refusals."""

REFUSALS = 20
"""How often a node may refuse a launch (its keeper was just killed, its disk is full) before that is a failed setup."""

SAID = 3
"""After how many refusals the job says so: one that was just an unlucky moment is nobody's news."""

Key = tuple[str, AttemptId, NodeName]


class Effects:
    """The hands of the controller. `record` appends events, `session` finds a node's link."""

    def __init__(
        self,
        launcher: Launcher,
        session: Callable[[NodeName], Session | None],
        record: Callable[..., Coroutine[Any, Any, None]],
        wake: Callable[[AttemptId], None],
    ) -> None:
        self._launcher = launcher
        self._session = session
        self._record = record
        self._wake = wake
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._told: set[Key] = set()
        self._refused: dict[tuple[AttemptId, NodeName], int] = {}

    def forget_node(self, node: NodeName) -> None:
        """A fresh link: orders given on the last one may be lost and are given again when facts ask for it."""
        self._told = {k for k in self._told if k[2] != node}

    def forget(self, attempt: AttemptId) -> None:
        """An acknowledged attempt needs no orders any more, and none that is under way may still reach a node."""
        for key, task in self._running.items():
            if key[1] == attempt and key[0] in (LAUNCH, "adopt", "way"):
                task.cancel()
        self._told = {k for k in self._told if k[1] != attempt}
        self._refused = {k: n for k, n in self._refused.items() if k[0] != attempt}

    def order(self, job: Job, attempt: Attempt, order: Order, fields: dict[str, Any] | None = None) -> None:
        """Carry an order to a node; one that was carried and that the facts still ask for is repeated, slowly."""
        key = (order.verb, attempt.id, order.node)
        if key not in self._running:
            self._start(key, self._perform(job, attempt, order, fields or {}), REPEAT_S if key in self._told else 0.0)

    def launch(self, job: Job, attempt: Attempt) -> None:
        """Launch on every node of an attempt."""
        for node in attempt.nodes:
            if ("launch", attempt.id, node) not in self._told:
                self.order(job, attempt, Order("launch", node))

    def catch_up(self, attempt: AttemptId, node: NodeName, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin `work` for the output of an attempt on a node, unless it is under way."""
        key = ("follow", attempt, node)
        if key not in self._running:
            self._start(key, work())

    def ack(self, attempt: Attempt) -> None:
        """Tell every node of an ended attempt that its end is recorded; the caller saw that the output is here."""
        key = ("ack", attempt.id, NodeName(""))
        if key not in self._running and key not in self._told:
            self._start(key, self._ack(attempt))

    async def close(self) -> None:
        """Drop what is under way; nodes keep what they have."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._launcher.ways.close()

    def _start(self, key: Key, work: Coroutine[Any, Any, None], delay: float = 0.0) -> None:
        async def run() -> None:
            try:
                if delay:
                    await asyncio.sleep(delay)
                await work
                self._told.add(key)
            except AfieldError as error:
                log.warning("%s of %s on %s: %s (%s)", *key, error.what, error.why)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("%s of %s on %s", *key)
                await asyncio.sleep(AGAIN_S)
            finally:
                work.close()
                self._running.pop(key, None)
            self._wake(key[1])

        self._running[key] = asyncio.create_task(run(), name=f"{key[0]} {key[1]}")

    async def _perform(self, job: Job, attempt: Attempt, order: Order, fields: dict[str, Any]) -> None:
        session = self._session(order.node)
        if session is None:
            return
        if order.verb == "launch":
            await self._launch(job, attempt, session)
            return
        if order.verb == "adopt":
            await self._launcher.adopt(job, attempt, session)
            return
        name = str(attempt.id)
        if order.verb == "way":
            await self._launcher.ways.give(attempt.id, job.task.environment, session)
            return
        if order.verb == "seal":
            with points.around("controller.seal"):
                reply, _ = await session.call("seal", attempt=name, reason=order.why)
        elif order.verb == "stop":
            stop: dict[str, Any] = {"k": 1, "why": order.why, "grace_s": job.task.grace_s, "by": job.user}
            with points.around("controller.stop"):
                reply, _ = await session.call("stop", attempt=name, **stop)
        else:
            with points.around("controller.go"):
                reply, _ = await session.call("go", attempt=name, **fields)
        if "facts" in reply:
            self._launcher.watch.answered(attempt.id, order.node, reply["facts"])

    async def _launch(self, job: Job, attempt: Attempt, session: Session) -> None:
        try:
            await self._launcher.launch(job, attempt, session)
            if self._refused.pop((attempt.id, session.name), 0) >= SAID:
                watch = self._launcher.watch
                watch.stage(attempt.id, Stage(LAUNCH, "done", f"{session.name} takes it now"))
        except (AfieldError, OSError) as trouble:
            error = trouble if isinstance(trouble, AfieldError) else _ours(session.name, trouble)
            key = (attempt.id, session.name)
            self._refused[key] = 0 if isinstance(error, Unreachable) else self._refused.get(key, 0) + 1
            watch = self._launcher.watch
            if self._refused[key] >= SAID:
                text = f"{session.name} refuses it: {error.why or error.what}"
                watch.stage(attempt.id, Stage(LAUNCH, "waits", text))
            if not isinstance(error, SetupFailed) and self._refused[key] < REFUSALS:
                raise error from trouble
            reply, _ = await session.call("seal", attempt=str(attempt.id), reason=in_words(error), by=SYNC)
            watch.answered(attempt.id, session.name, reply["facts"])

    async def _ack(self, attempt: Attempt) -> None:
        with points.around("controller.sync"):
            await asyncio.to_thread(self._launcher.watch.mirror.sync, str(attempt.id))
        for node in attempt.nodes:
            session = self._session(node)
            if session is not None:
                link = await session.link()
                with points.around("controller.ack"):
                    await link.call("ack", attempt=str(attempt.id))
                await link.call("unwatch", attempt=str(attempt.id))
        await self._record(AttemptAcked(attempt.id))


def _ours(node: NodeName, error: OSError) -> AfieldError:
    """What kept a launch on our side: our disk is full, or a file went that was to be sent."""
    return AfieldError(f"what {node} needs cannot be sent", why=str(error))
