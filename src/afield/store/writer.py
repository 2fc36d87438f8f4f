"""Group commit: many tasks append, one thread commits all that waits in one transaction.

One batch is under way at a time. Its events are folded on the loop, call by call, into a draft beside the world; the
thread commits the draft; back on the loop the draft is published into the world, the calls get their records and
`on_commit` is told. So the world holds nothing that is not durable, a refused commit leaves nothing to undo, and an
event that the machine does not allow is the failure of its own call only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from afield.errors import AfieldError, Fault, StoreRefused
from afield.model.event import Event, Record
from afield.model.world import World
from afield.store.draft import Draft
from afield.store.port import Store

log = logging.getLogger(__name__)

BATCH = 500
"""Events in one transaction; the events of one call stay together even above it."""
PAGE = 500


@dataclass(slots=True)
class _Call:
    events: Sequence[Event]
    done: asyncio.Future[list[Record]]
    records: list[Record] = field(default_factory=list)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(self.records)


class Writer:
    """The only one that changes the world. `on_commit` gets the records of each batch after the world has them."""

    def __init__(
        self,
        store: Store,
        world: World,
        *,
        on_commit: Callable[[Sequence[Record]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._world = world
        self._on_commit = on_commit
        self._clock = clock
        self._waiting: deque[_Call] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._followers: set[asyncio.Event] = set()
        self._closed = False

    async def append(self, events: Sequence[Event]) -> list[Record]:
        """Record events, all in one transaction; their records, once they are durable and in the world.

        Raises StoreRefused, IllegalMove and Conflict; nothing of the call is recorded then. A call that is cancelled
        may have been recorded all the same.
        """
        if self._closed:
            raise StoreRefused("the store is closed", why="this server is leaving")
        if not events:
            return []
        call = _Call(tuple(events), asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run(), name="store writer")
        return await call.done

    async def follow(self, since: int) -> AsyncIterator[Record]:
        """The log after a cursor, then what is appended, until the writer is closed."""
        news = asyncio.Event()
        self._followers.add(news)
        try:
            while True:
                news.clear()
                # What is committed but not yet in the world comes with the next news.
                page = [r for r in self._store.records(since, PAGE) if r.seq <= self._world.seq]
                for record in page:
                    yield record
                    since = record.seq
                if self._closed:
                    return
                if not page:
                    await news.wait()
        finally:
            self._followers.discard(news)

    async def close(self) -> None:
        """Commit what waits, then take nothing more and end all followers."""
        self._closed = True
        if self._pump is not None:
            await asyncio.gather(self._pump, return_exceptions=True)
        self._thread.shutdown()
        self._wake()

    async def _run(self) -> None:
        while self._waiting:
            draft = Draft(self._world, self._store)
            calls = self._gather(draft)
            if calls:
                await self._commit(draft, calls)

    def _gather(self, draft: Draft) -> list[_Call]:
        """Fold what waits into the draft; the calls in it. One that cannot be folded fails here, alone."""
        calls = []
        while self._waiting and len(draft.records) < BATCH:
            call = self._waiting.popleft()
            if call.done.cancelled():
                continue
            try:
                call.records = draft.add(call.events, self._clock())
            except Exception as error:  # noqa: BLE001 whatever it is, it is the answer to this call and to no other
                call.fail(error)
            else:
                calls.append(call)
        return calls

    async def _commit(self, draft: Draft, calls: Sequence[_Call]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.commit, draft)
        except Exception as error:  # noqa: BLE001 whatever it is, every call of the batch must hear of it
            log.error("could not record %d events: %s", len(draft.records), error)
            for call in calls:
                call.fail(error if isinstance(error, AfieldError) else Fault("the store failed", why=repr(error)))
            return
        draft.publish()
        for call in calls:
            call.succeed()
        self._tell(draft.records)

    def _tell(self, records: Sequence[Record]) -> None:
        self._wake()
        if self._on_commit is not None:
            try:
                self._on_commit(records)
            except Exception:
                log.exception("what follows a commit failed; the commit stands")

    def _wake(self) -> None:
        for news in self._followers:
            news.set()
