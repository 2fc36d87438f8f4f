"""Rows of an older build are read, and written on in the form of this one; those of a newer build are refused whole."""

from __future__ import annotations

import json
import sqlite3
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afield.errors import StoreRefused
from afield.model import event as ev
from afield.model.attempt import Outcome, State
from afield.model.ids import JobNumber
from afield.model.job import Job, Phase
from afield.model.machine import fold, forget
from afield.model.node import Node
from afield.model.world import World
from afield.store import codec
from afield.store.sqlite import SqliteStore
from afield.store.upgrade import FORM, upgraded
from tests.unit.store.values import any_of, attempt
from tools import forms

ROWS = Path(__file__).parents[2] / "facts" / "store" / "rows-form-1.json"
"""What the build of 7901c74~1 wrote: three jobs that ended and one that runs. Tasks still had `outputs`."""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder of a store with the recorded rows; its tables are those of today."""
    SqliteStore.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.db") as database:
        for table, rows in json.loads(ROWS.read_text()).items():
            database.execute(f"DELETE FROM {table}")
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
    database.close()
    return tmp_path


def about(folder: Path) -> dict[str, str]:
    with sqlite3.connect(folder / "store.db") as database:
        told = dict(database.execute("SELECT name, value FROM about"))
    database.close()
    return told


def test_a_store_of_an_older_build_goes_on(older: Path) -> None:
    assert '"outputs":[]' in ROWS.read_text().replace("\\", "")
    store = SqliteStore.open(older)
    world = store.load()
    assert [j.phase for j in store.jobs()] == [Phase.RUNNING, Phase.STOPPED, Phase.FAILED, Phase.SUCCEEDED]
    assert (list(world.jobs), list(world.nodes)) == ([4], ["local"])
    folded = World()
    for record in store.records(0):
        fold(folded, record)
    for each in list(folded.jobs.values()):
        forget(folded, each)
    assert folded == world
    four = attempt(4)
    told: list[ev.Event] = [
        ev.AttemptExited(four, ()),
        ev.JobDecided(JobNumber(4), Outcome.LOST),
        ev.AttemptAcked(four),
    ]
    store.append(told, world.now + 1, world)
    store.close()
    again = SqliteStore.open(older)
    job = again.job(JobNumber(4))
    assert job is not None
    assert (job.decided, job.attempts[0].state) == (Outcome.LOST, State.ENDED)
    again.close()


def test_a_store_names_the_form_that_is_written_now(older: Path) -> None:
    assert "form" not in about(older)
    for _ in range(2):
        SqliteStore.open(older).close()
        assert about(older)["form"] == str(FORM)
    with sqlite3.connect(older / "store.db") as database:
        database.execute("UPDATE about SET value = '1' WHERE name = 'form'")
    database.close()
    SqliteStore.open(older).close()
    assert about(older)["form"] == str(FORM)


@pytest.mark.parametrize(("form", "what"), [(str(FORM + 1), "newer afield"), ("soon", "no form that any afield wrote")])
def test_a_store_of_another_form_is_refused_and_left_as_it_is(tmp_path: Path, form: str, what: str) -> None:
    SqliteStore.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("UPDATE about SET value = ? WHERE name = 'form'", (form,))
    database.close()
    before = about(tmp_path)
    with pytest.raises(StoreRefused, match=what) as caught:
        SqliteStore.open(tmp_path)
    assert form in caught.value.why
    assert about(tmp_path) == before


def test_the_form_of_what_is_stored_is_the_recorded_one() -> None:
    cure = "raise FORM in store/upgrade.py, tell _UPGRADE what went, then run python tools/forms.py"
    path = forms.recorded(FORM)
    assert path.exists(), cure
    assert json.loads(path.read_text()) == forms.fields(), cure


@given(st.one_of(*map(any_of, (*typing.get_args(ev.Event), Job, Node))))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_rows_of_this_form_need_no_upgrade(value: Any) -> None:
    row = json.loads(codec.encode(value))
    assert upgraded(type(value), row) == row


def test_what_went_is_dropped_where_it_was_and_nowhere_else() -> None:
    row = {"number": 1, "outputs": 1, "task": {"argv": ["true"], "outputs": ["a"], "code": None}, "attempts": []}
    task = {"argv": ["true"], "code": None}
    assert upgraded(Job, row) == {"number": 1, "outputs": 1, "task": task, "attempts": []}
    assert upgraded(Job, {"task": 3, "attempts": {}, "nodes": None}) == {"task": 3, "attempts": {}, "nodes": None}
