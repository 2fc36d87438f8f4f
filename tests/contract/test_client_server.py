"""The life of the server's process: found or started, one per store, replaced, gone when idle, harmless to kill."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from afield.build import build, on_disk
from afield.errors import NotAllowed, Unreachable, UsageError
from afield.folders import Folders
from afield.sdk import http
from afield.sdk.client import Client
from afield.sdk.door import Door
from afield.server.app import api
from afield.server.desk import Desk
from afield.testing.waiting import wait_until
from tests.unit.server.fixtures import place as place
from tests.unit.server.place import MEMORY, Place, job


def test_the_first_call_starts_a_server_for_the_owner_alone(place: Place) -> None:
    told = place.client.hello()
    assert (told["api"], told["state"]) == (1, str(place.state))
    assert told["build"] in (build(), on_disk())
    for path in (place.folders.socket, place.folders.token, place.folders.log, place.folders.lock):
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0, path
    assert os.getsid(told["pid"]) == told["pid"]


def test_it_describes_itself_in_full(place: Place) -> None:
    with closing(place.door().open()) as connection:
        assert connection.call("GET", "/v1/openapi.json") == json.loads(json.dumps(api(Desk()).openapi()))


def test_sixteen_commands_at_once_start_one_server(place: Place) -> None:
    with ThreadPoolExecutor(16) as pool:
        pids = list(pool.map(lambda _: Client(place.door()).hello()["pid"], range(16)))
    assert len(set(pids)) == 1
    assert Path(place.folders.log).read_text().count("serving") == 1


def test_a_second_server_of_one_store_leaves_quietly(place: Place) -> None:
    pid = place.client.hello()["pid"]
    second = subprocess.run([sys.executable, MEMORY, "--state", place.state], timeout=30, check=False)
    assert second.returncode == 0
    assert place.client.hello()["pid"] == pid


def test_a_killed_server_leaves_a_socket_that_the_next_replaces(place: Place) -> None:
    place.client.submit([job("lines", "1")])
    killed = place.kill()
    assert Path(place.folders.socket).exists()
    assert place.client.job(1)["outcome"] == "succeeded"
    assert place.pid != killed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_the_same_as_asking_to_leave(place: Place, number: int) -> None:
    place.client.submit([job("forever")])
    os.kill(place.pid, number)
    assert place.door().wait_gone()
    assert (place.state / "closed").exists()
    assert not Path(place.folders.socket).exists()


def test_leaving_without_a_server_is_done_already(place: Place) -> None:
    assert place.client.leave()
    assert place.door().knock() is None


def test_a_server_of_another_build_is_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_BUILD", "0.0.9+aaaa")
    old = place.client.hello()
    assert old["build"] == "0.0.9+aaaa"
    monkeypatch.delenv("TEST_BUILD")
    new = Client(place.door()).hello()
    assert new["build"] in (build(), on_disk())
    assert new["pid"] != old["pid"]


def test_a_client_that_is_in_the_middle_outlives_an_upgrade(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.client.hello()
    place.client.leave()
    monkeypatch.setenv("TEST_BUILD", "9.9.9+bbbb")
    newer = Client(place.door())
    newer.hello()
    monkeypatch.delenv("TEST_BUILD")
    assert place.client.hello()["build"] == "9.9.9+bbbb"


def test_an_older_command_refuses_with_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_BUILD", "9.9.9+bbbb")
    place.client.hello()
    with pytest.raises(UsageError, match="older than the one that runs your jobs"):
        Client(place.door()).jobs()


def test_an_idle_server_leaves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIELD_IDLE_S", "0.3")
    place.client.hello()
    place.client.close()
    assert place.door().wait_gone()
    assert "idle" in Path(place.folders.log).read_text()


@pytest.mark.parametrize("busy", ["job", "reader"])
def test_a_server_with_work_or_readers_stays(place: Place, monkeypatch: pytest.MonkeyPatch, busy: str) -> None:
    monkeypatch.setenv("AFIELD_IDLE_S", "0.2")
    client = place.client
    if busy == "job":
        client.submit([job("forever")])
    else:
        events = client.events()
        client.submit([job("true")])
        next(events)
    pid = place.pid
    assert not place.door().wait_gone(1.0)
    assert place.pid == pid


def test_a_server_that_nobody_can_reach_leaves(place: Place) -> None:
    place.client.hello()
    os.unlink(place.folders.socket)
    assert place.door().wait_gone()


def test_a_server_of_another_runtime_folder_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = place.client.hello()["pid"]
    other = place.state.parent / "other"
    other.mkdir(mode=0o700)
    monkeypatch.setenv("AFIELD_RUNTIME_DIR", str(other))
    elsewhere = Client(Door(Folders(str(place.state)), ["false"]))
    assert elsewhere.hello()["pid"] == pid
    assert elsewhere.jobs() == []


def test_a_server_that_does_not_start_shows_the_end_of_its_log(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REFUSE", "1")
    with pytest.raises(Unreachable, match="does not start") as refused:
        place.client.hello()
    assert "a line of the log before the end" in refused.value.why
    assert "a test says so" in refused.value.why


def test_a_runtime_folder_that_others_may_write_is_refused(place: Place) -> None:
    os.mkdir(place.folders.runtime)
    os.chmod(place.folders.runtime, 0o777)
    with pytest.raises(NotAllowed, match="not a folder of yours alone"):
        place.client.hello()
    os.chmod(place.folders.runtime, 0o700)


def test_an_idle_connection_that_the_server_closed_is_replaced(place: Place) -> None:
    place.client.hello()
    assert place.client._idle
    place.kill()
    wait_until(lambda: place.client._idle[0].hung_up)
    assert place.client.jobs() == []


def test_a_server_that_is_silent_is_named_and_not_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = place.client.hello()["pid"]
    monkeypatch.setattr(http, "HELLO_S", 0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="does not answer") as silent:
            Client(place.door()).jobs()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert silent.value.hints[0].startswith(f"kill -9 {pid} ")
