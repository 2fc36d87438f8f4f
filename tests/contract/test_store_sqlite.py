"""What only a store in a file can suffer: other processes, kills, torn files, other versions, a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from afield.errors import StoreRefused
from afield.model.machine import fold
from afield.model.world import World
from afield.store.port import unfinished
from afield.store.sqlite import SqliteStore
from tests.unit.store.values import placed, submitted, whole

ROOT = Path(__file__).parents[2]


def python(script: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process that runs a script with the project and the tests on its path."""
    command = [*before, sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def told(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def folded(store: SqliteStore) -> World:
    """The world by the log alone."""
    world = World()
    for record in store.records(0, limit=100_000):
        fold(world, record)
    world.jobs = {n: j for n, j in world.jobs.items() if unfinished(j)}
    return world


def test_a_second_opening_is_refused_and_names_the_first(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    with pytest.raises(StoreRefused, match="another process") as caught:
        SqliteStore.open(tmp_path)
    assert str(os.getpid()) in caught.value.why
    script = """
        import sys
        from afield.errors import StoreRefused
        from afield.store.sqlite import SqliteStore
        try:
            SqliteStore.open(sys.argv[1])
        except StoreRefused as error:
            print(error.what)
    """
    assert "another process" in told(python(script, str(tmp_path)))
    store.append([submitted(1)], 1.0, store.load())
    store.close()
    SqliteStore.open(tmp_path).close()


def test_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state")
    store.append([submitted(1)], 1.0, store.load())
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
    store.close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_commits_are_synced_and_the_log_is_written_ahead(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    found = {p: store._writer.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")}
    store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2}


def test_a_killed_process_loses_nothing_that_it_has_said(tmp_path: Path) -> None:
    script = """
        import sys
        from afield.store.sqlite import SqliteStore
        from tests.unit.store.values import whole
        store = SqliteStore.open(sys.argv[1])
        world = store.load()
        for number in range(1, 100000):
            for event in whole(number):
                print(store.append([event], 1.0, world)[-1].seq, flush=True)
    """
    process = python(script, str(tmp_path))
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(150)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.communicate()
    store = SqliteStore.open(tmp_path)
    found = [r.seq for r in store.records(0, limit=1_000_000)]
    assert found[: len(said)] == said == list(range(1, len(said) + 1))
    assert len(found) <= len(said) + 1
    assert store.load() == folded(store)
    store.close()


def test_a_torn_log_leaves_what_was_committed_before(tmp_path: Path) -> None:
    SqliteStore.open(tmp_path / "state").close()
    store = SqliteStore.open(tmp_path / "state")
    world = store.load()
    for number in range(1, 9):
        store.append(whole(number)[: number % 5 + 1], float(number), world)
    whole_log = store.records(0)
    kept = {name: (tmp_path / "state" / name).read_bytes() for name in ("store.db", "store.db-wal")}
    store.close()
    wal = kept["store.db-wal"]
    counts = set()
    frame = 4096 + 24
    for cut in [0, 1, 31, *range(32, len(wal) + 1, frame), *range(500, len(wal), 5 * frame), len(wal) - 1]:
        torn = tmp_path / "torn"
        torn.mkdir()
        (torn / "store.db").write_bytes(kept["store.db"])
        (torn / "store.db-wal").write_bytes(wal[:cut])
        store = SqliteStore.open(torn)
        found = store.records(0)
        counts.add(len(found))
        assert found == whole_log[: len(found)]
        assert store.load() == folded(store)
        store.append([submitted(store.next_job())], 99.0, store.load())
        store.close()
        shutil.rmtree(torn)
    assert len(counts) == 9, "every commit is a place to be cut back to"


@pytest.mark.parametrize("junk", [b"not a database, not a database " * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "store.db").write_bytes(junk)
    with pytest.raises(StoreRefused) as caught:
        SqliteStore.open(tmp_path)
    assert caught.value.hints
    assert (tmp_path / "store.db").read_bytes() == junk


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path / "store.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("schema", "word"), [("2", "newer afield"), ("0", "no schema"), ("x", "no schema")])
def test_other_schemas_are_refused(tmp_path: Path, schema: str, word: str) -> None:
    store = SqliteStore.open(tmp_path)
    incarnation = store.incarnation
    store.close()
    change(tmp_path, f"UPDATE about SET value = '{schema}' WHERE name = 'schema'")
    with pytest.raises(StoreRefused, match=word):
        SqliteStore.open(tmp_path)
    change(tmp_path, "UPDATE about SET value = '1' WHERE name = 'schema'")
    store = SqliteStore.open(tmp_path)
    assert store.incarnation > incarnation
    store.close()


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreRefused, match="not a store of afield") as caught:
        SqliteStore.open(tmp_path)
    assert "recipes" in caught.value.why


def test_an_event_of_a_newer_afield_is_refused_when_read(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    store.append([submitted(1)], 1.0, store.load())
    change(tmp_path, "UPDATE log SET kind = 'teleported'")
    with pytest.raises(StoreRefused, match="teleported"):
        store.records(0)
    assert set(store.load().jobs) == {1}
    store.close()


def test_a_lock_of_another_program_is_waited_for_and_then_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afield.store.sqlite.BUSY_MS", 50)
    store = SqliteStore.open(tmp_path)
    world = store.load()
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreRefused, match="locked by another program"):
        store.append([submitted(1)], 1.0, world)
    assert world == World()
    other.execute("ROLLBACK")
    other.close()
    store.append([submitted(1)], 1.0, world)
    store.close()


def test_only_live_rows_are_in_the_index_that_loading_uses(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    store.append([*whole(1), submitted(2), placed(2)], 1.0, store.load())
    store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT noun FROM jobs WHERE live ORDER BY number").fetchall()
    connection.close()
    assert "jobs_live" in str(plan), plan


def on_small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """The words before a command that give it a small file system of its own on a folder; else the test is skipped."""
    mount = f'mount -t tmpfs -o size={size},mode=700 tmpfs "{folder}" && exec "$@"'
    words = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    try:
        found = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if found.returncode != 0:
        pytest.skip(f"no private mounts here: {found.stderr.strip()}")
    return words


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    script = """
        import copy, json, os, sys
        from afield.errors import StoreRefused
        from afield.store.sqlite import SqliteStore
        from tests.unit.store.values import submitted
        folder = sys.argv[1]
        with open(folder + "/ballast", "wb") as file:
            file.write(bytes(2_200_000))
        store = SqliteStore.open(folder + "/state")
        world, refused, number = store.load(), [], 0
        while len(refused) < 3 and number < 10_000:
            number += 1
            before = copy.copy(world.jobs)
            try:
                store.append([submitted(number, argv=("x" * 5000,))], 1.0, world)
            except StoreRefused as error:
                assert world.jobs == before and world.seq == len(before), "the world was changed"
                refused.append(error.what)
                number -= 1
        kept = len(store.records(0, limit=100_000))
        assert kept == number == len(store.jobs(limit=100_000)) and store.load() == world
        os.unlink(folder + "/ballast")
        store.append([submitted(number + 1)], 2.0, world)
        store.close()
        again = SqliteStore.open(folder + "/state")
        assert again.load() == world and len(world.jobs) == number + 1
        print(json.dumps({"refused": refused, "kept": kept}))
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    found = json.loads(told(python(script, str(disk), before=on_small_disk(disk, "4m"))))
    assert len(found["refused"]) == 3
    assert all(what.startswith("disk full") for what in found["refused"]), found
    assert found["kept"] > 10


def test_opening_on_a_full_disk_is_refused_and_harmless(tmp_path: Path) -> None:
    script = """
        import os, sys
        from afield.errors import StoreRefused
        from afield.store.sqlite import SqliteStore
        from tests.unit.store.values import submitted
        folder = sys.argv[1]
        store = SqliteStore.open(folder + "/state")
        store.append([submitted(1)], 1.0, store.load())
        store.close()
        ballast = os.open(folder + "/ballast", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(ballast, bytes(4096))
        except OSError:
            os.close(ballast)
        try:
            SqliteStore.open(folder + "/state")
        except StoreRefused as error:
            print(error.what)
        os.unlink(folder + "/ballast")
        store = SqliteStore.open(folder + "/state")
        assert set(store.load().jobs) == {1}
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    assert told(python(script, str(disk), before=on_small_disk(disk, "1m"))).startswith("disk full")
