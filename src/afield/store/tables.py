"""The tables of a store, version 1: the log, and the folded nouns as rows beside it."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
    update,
)

from afield.errors import StoreRefused
from afield.store.upgrade import FORM

SCHEMA = 1

metadata = MetaData()

about = Table("about", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

log = Table(
    "log",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("user", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("decided", Boolean, nullable=False),
    Column("noun", Text, nullable=False),
    UniqueConstraint("user", "key"),
)
"""`body` is the hash of the submission, `seq` the last event that changed the row; `live` rows are loaded."""

Index("jobs_live", jobs.c.number, sqlite_where=jobs.c.live)

nodes = Table("nodes", metadata, Column("name", Text, primary_key=True), Column("noun", Text, nullable=False))


def take_over(connection: Connection) -> tuple[str, int]:
    """Make the tables where there are none, and count one more incarnation; the store's id and the incarnation.

    Raises StoreRefused for a database of a newer afield, or of something else. An incarnation is at least the time in
    seconds, so that a store put back from a backup does not repeat one.
    """
    found = inspect(connection).get_table_names()
    if about.name not in found:
        if found:
            raise StoreRefused("the database is not a store of afield", why=f"it holds the tables {', '.join(found)}")
        metadata.create_all(connection)
        fresh = {"schema": str(SCHEMA), "id": secrets.token_hex(8), "incarnation": "0"}
        connection.execute(about.insert(), [{"name": n, "value": v} for n, v in fresh.items()])
    told: dict[str, str] = {row.name: row.value for row in connection.execute(select(about))}
    _check("schema", told.get("schema", ""), SCHEMA)
    _raise_form(connection, told.get("form"))
    incarnation = max(int(told["incarnation"]) + 1, int(time.time()))
    connection.execute(update(about).where(about.c.name == "incarnation").values(value=str(incarnation)))
    return told["id"], incarnation


def _raise_form(connection: Connection, form: str | None) -> None:
    """What is written from now on has this build's form. A store from before forms were counted names none."""
    if form is None:
        connection.execute(about.insert().values(name="form", value=str(FORM)))
    elif form.isdigit() and int(form) < FORM:
        connection.execute(update(about).where(about.c.name == "form").values(value=str(FORM)))
    else:
        _check("form", form, FORM)


def _check(what: str, found: str, known: int) -> None:
    if found == str(known):
        return
    if found.isdigit() and int(found) > known:
        raise StoreRefused(
            "the store was written by a newer afield",
            why=f"its {what} is version {found}, this afield knows version {known}",
            hints=["upgrade afield here", "or use another AFIELD_STATE_DIR"],
        )
    raise StoreRefused(f"the store has no {what} that any afield wrote", why=f"its {what} version is {found!r}")
