"""The store of one machine: SQLite with a write-ahead log, synced at every commit, one writing process."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock as Mutex
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    Row,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import NullPool

from afield.errors import Conflict, Fault, StoreRefused
from afield.model.event import Event, Record
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Job
from afield.model.node import Node
from afield.model.world import World
from afield.runner import points
from afield.runner.mounts import network_filesystem
from afield.store import codec, guard, place, port, tables
from afield.store.cache import JobCache
from afield.store.draft import Draft

FILE = "store.db"
BUSY_MS = 10_000
WAL_KEPT_BYTES = 16 << 20
_IN = 500
"""Numbers in one statement."""

_BY_KEY = select(tables.jobs.c.number, tables.jobs.c.body).where(
    tables.jobs.c.user == bindparam("its_user"), tables.jobs.c.key == bindparam("its_key")
)
_UPDATE_JOB = update(tables.jobs).where(tables.jobs.c.number == bindparam("which"))
_DROP_NODE = delete(tables.nodes).where(tables.nodes.c.name == bindparam("which"))
_PUT_NODE = insert(tables.nodes)
_PUT_NODE = _PUT_NODE.on_conflict_do_update(
    index_elements=[tables.nodes.c.name], set_={"noun": _PUT_NODE.excluded.noun}
)


class SqliteStore:
    """See Store. Reads go over a connection of their own and never wait for a commit."""

    def __init__(self, path: Path, lock: guard.Lock, engines: tuple[Engine, Engine], told: tuple[str, int]) -> None:
        self.path = path
        self.id, self.incarnation = told
        self._lock = lock
        self._engines = engines
        self._writer, self._reader = (engine.connect() for engine in engines)
        self._reading = Mutex()
        self._cache = JobCache()
        self._seq = self._last()[0]
        self._next = JobNumber((self._rows(select(func.max(tables.jobs.c.number)))[0][0] or 0) + 1)

    @classmethod
    def open(cls, folder: str | Path) -> SqliteStore:
        """The store in a folder, made where there is none.

        Raises StoreRefused: on a network file system, open in another process, by a newer afield, damaged, disk full.
        """
        path = Path(os.path.abspath(folder)) / FILE
        if (kind := network_filesystem(path)) is not None:
            why = f"{path.parent} is on {kind}, where the locks of a database do not hold"
            raise StoreRefused("the store cannot lie on a network file system", why=why, hints=[place.HINT])
        with guard.refusing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = guard.Lock(path.parent / "store.lock")
            try:
                _create(path)
                engines = _engine(path, writes=True), _engine(path, writes=False)
                with engines[0].begin() as connection, points.around("controller.take"):
                    told = tables.take_over(connection)
                return cls(path, lock, engines, told)
            except BaseException:
                lock.release()
                raise

    def load(self) -> World:
        """See Store."""
        seq, at = self._last()
        live = self._rows(select(tables.jobs.c.noun).where(tables.jobs.c.live).order_by(tables.jobs.c.number))
        nodes = self._rows(select(tables.nodes.c.noun).order_by(text("rowid")))
        found = [codec.decode(Job, row.noun) for row in live]
        known = [codec.decode(Node, row.noun) for row in nodes]
        return World({j.number: j for j in found}, {n.name: n for n in known}, seq, at)

    def append(self, events: Sequence[Event], at: float, world: World) -> list[Record]:
        """See Store."""
        return port.append(self, events, at, world)

    def commit(self, draft: Draft) -> None:
        """See Store."""
        if draft.after != self._seq:
            raise Fault(f"the world is at event {draft.after}, the store at {self._seq}")
        whole, rows = points.around("controller.commit"), points.around("controller.write")
        with whole, guard.refusing(self.path), self._writer.begin(), rows:
            self._write_log(draft.records)
            self._write_jobs(draft)
            self._write_nodes(draft.nodes)
        self._seq = draft.records[-1].seq
        self._next = JobNumber(max(self._next, *(e.job + 1 for e in draft.submitted), 0))
        for number, job in draft.jobs.items():
            if job is not None:
                self._cache.put(number, self._seq, job)

    def records(self, since: int, limit: int = 1000) -> list[Record]:
        """See Store."""
        table = tables.log
        rows = self._rows(select(table).where(table.c.seq > since).order_by(table.c.seq).limit(limit))
        return [Record(row.seq, row.at, codec.decode_event(row.kind, row.body)) for row in rows]

    def job(self, number: JobNumber) -> Job | None:
        """See Store."""
        return self._nouns([number]).get(number)

    def jobs(self, *, unfinished_only: bool = False, limit: int = 1000, before: int | None = None) -> list[Job]:
        """See Store."""
        table = tables.jobs
        query = select(table.c.number, table.c.seq).order_by(table.c.number.desc()).limit(limit)
        if unfinished_only:
            query = query.where(table.c.live, ~table.c.decided)
        if before is not None:
            query = query.where(table.c.number < before)
        rows = self._rows(query)
        found = {row.number: self._cache.get(row.number, row.seq) for row in rows}
        fresh = self._nouns([number for number, job in found.items() if job is None])
        return [job or fresh[number] for number, job in found.items()]

    def by_key(self, user: str, key: str) -> tuple[JobNumber, str] | None:
        """See Store."""
        rows = self._rows(_BY_KEY, {"its_user": _plain(user), "its_key": _plain(key)})
        return (JobNumber(rows[0].number), rows[0].body) if rows else None

    def next_job(self) -> JobNumber:
        """See Store."""
        return self._next

    def backup(self, path: Path) -> None:
        """See Store. The copy is one file, checked and synced before it gets its name."""
        if path.exists():
            raise Conflict(f"{path} exists already", hints=["name another file"])
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        with guard.refusing(part):
            with self._reading:
                self._reader.execute(text("VACUUM INTO :path"), {"path": str(part)})
            _check_copy(part)
            _sync(part)
            part.rename(path)
            _sync(path.parent)

    def close(self) -> None:
        """See Store."""
        self._reader.close()
        self._writer.close()
        for engine in self._engines:
            engine.dispose()
        self._lock.release()

    def _last(self) -> tuple[int, float]:
        rows = self._rows(select(tables.log.c.seq, tables.log.c.at).order_by(tables.log.c.seq.desc()).limit(1))
        return (rows[0].seq, rows[0].at) if rows else (0, 0.0)

    def _rows(self, query: Executable, values: dict[str, str] | None = None) -> Sequence[Row[Any]]:
        with guard.refusing(self.path), self._reading:
            return self._reader.execute(query, values).all()

    def _nouns(self, numbers: Sequence[JobNumber]) -> dict[JobNumber, Job]:
        table = tables.jobs
        found = {}
        for begin in range(0, len(numbers), _IN):
            some = table.c.number.in_(numbers[begin : begin + _IN])
            for row in self._rows(select(table.c.number, table.c.seq, table.c.noun).where(some)):
                job = found[row.number] = codec.decode(Job, row.noun)
                self._cache.put(row.number, row.seq, job)
        return found

    def _write_log(self, records: Sequence[Record]) -> None:
        rows = []
        for record in records:
            kind, body = codec.encode_event(record.event)
            rows.append({"seq": record.seq, "at": record.at, "kind": kind, "body": body})
        self._writer.execute(tables.log.insert(), rows)

    def _write_jobs(self, draft: Draft) -> None:
        bodies = {e.job: e.body for e in draft.submitted}
        seq = draft.records[-1].seq
        fresh, known = [], []
        for job in draft.jobs.values():
            if job is None:
                continue
            row = {
                "seq": seq,
                "live": port.unfinished(job),
                "decided": job.decided is not None,
                "noun": codec.encode(job),
            }
            if job.number in bodies:
                names = {"user": _plain(job.user), "key": _plain(job.key), "body": bodies[job.number]}
                fresh.append({"number": job.number, **names, **row})
            else:
                known.append({"which": job.number, **row})
        if fresh:
            self._writer.execute(tables.jobs.insert(), fresh)
        if known:
            self._writer.execute(_UPDATE_JOB, known)

    def _write_nodes(self, nodes: dict[NodeName, Node | None]) -> None:
        kept = [{"name": _plain(name), "noun": codec.encode(node)} for name, node in nodes.items() if node is not None]
        gone = [{"which": _plain(name)} for name, node in nodes.items() if node is None]
        if kept:
            self._writer.execute(_PUT_NODE, kept)
        if gone:
            self._writer.execute(_DROP_NODE, gone)


def _plain(text: str) -> str:
    """A name as a column's text, no two names the same: lone surrogates and NUL are no text for a database."""
    if text[:1] != "\\" and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    escaped = text.replace("\\", "\\\\").replace("\0", "\\0")
    return "\\" + escaped.encode("utf-8", "backslashreplace").decode()


def _engine(path: Path, *, writes: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000}
    )

    def connected(connection: sqlite3.Connection, _: object) -> None:
        # Python's sqlite3 begins transactions late and as readers; None leaves it to `begin` below.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"journal_size_limit={WAL_KEPT_BYTES}"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    if writes:
        event.listen(engine, "begin", begin)
    return engine


def _create(path: Path) -> None:
    """Make the file for the owner only; its name is durable before anything in it is promised."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _sync(path.parent)


def _check_copy(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    finally:
        connection.close()
    if verdict != "ok":
        raise StoreRefused(f"the copy {path} is damaged", why=verdict, hints=["check the disk"])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
