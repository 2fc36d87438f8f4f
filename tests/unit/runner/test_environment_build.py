"""A build through the controller: what it takes for a lost way, how often it asks for another, what it advises."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.environment.proxy import USER
from afield.runner import environment_build, environment_way
from afield.runner.environment_way import GIVEN, MOST, Way, give
from afield.runner.folder import ASKS
from afield.testing.waiting import wait_until

REFUSED = (
    "error: Failed to download `pear==1.0`\n  cause: error sending request for url\n"
    "  cause: tunnel error: failed to create underlying connection\n  cause: tcp connect error\n"
    "  cause: Connection refused (os error 111)\n"
)
UNSOLVED = "  x No solution found when resolving dependencies"
NOBODY = ("127.0.0.1", 1)


@pytest.fixture
def way(tmp_path: Path) -> Way:
    """The way of a build on a node that does not reach its index."""
    return Way(str(tmp_path), [NOBODY])


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[list[int]]:
    """A controller: it gives a way to each question, and counts them by how often one was lost."""
    asked: list[int] = []
    over = threading.Event()

    def answer() -> None:
        while not over.wait(0.01):
            asks = environment_way.load(str(tmp_path / ASKS))
            address = f"http://{USER}:token@{NOBODY[0]}:{NOBODY[1]}"
            unanswered = asks.get("waits") and not (tmp_path / GIVEN).exists()
            if unanswered and give(str(tmp_path), asks["id"], {"HTTPS_PROXY": address, "PATH": "/nowhere"}):
                asked.append(asks["lost"])

    thread = threading.Thread(target=answer)
    thread.start()
    yield asked
    over.set()
    thread.join()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this account, whose environment a build changes."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_only_a_gone_way_with_words_of_the_network_is_tried_again(way: Way, answering: list[int]) -> None:
    assert way.begin()
    assert way.broke(REFUSED)
    assert not way.broke(UNSOLVED)


def test_a_way_that_answers_is_not_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://{USER}:token@127.0.0.1:{server.getsockname()[1]}"

        def proxy() -> None:
            there, _ = server.accept()
            with there:
                asked = there.recv(4096)
                there.sendall(b"HTTP/1.1 405 Only CONNECT\r\n\r\n" if b"Basic " in asked else b"HTTP/1.1 407\r\n\r\n")

        thread = threading.Thread(target=proxy)
        thread.start()
        assert environment_way.alive(address)
        thread.join()
    assert not environment_way.alive(address)


def test_so_many_ways_may_be_lost_and_no_more(way: Way, answering: list[int]) -> None:
    assert way.begin()
    ways = 0
    while way.again():
        ways += 1
    assert (ways, answering) == (MOST, list(range(MOST + 1)))


def test_nobody_is_waited_for_for_ever(way: Way, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment_way, "WITHIN_S", 0.0)
    assert not way.begin()
    assert json.loads((tmp_path / ASKS).read_text())["waits"]


def test_a_way_is_given_to_who_asks_and_its_token_does_not_stay(way: Way, answering: list[int], tmp_path: Path) -> None:
    assert way.begin()
    asks = json.loads((tmp_path / ASKS).read_text())
    assert (asks["waits"], asks["lost"]) == (False, 0)
    assert not give(str(tmp_path), asks["id"], {}), "it was answered"
    assert not give(str(tmp_path), "another", {})
    wait_until(lambda: not (tmp_path / GIVEN).exists())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_node_that_reaches_its_index_asks_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert Way(str(tmp_path), [server.getsockname()]).begin()
    assert Way(str(tmp_path), []).begin()
    assert not (tmp_path / ASKS).exists()


def test_what_uv_said_decides_the_advice() -> None:
    assert "let this node reach the package index" in environment_build._advice(REFUSED)
    assert "exclude each other" in environment_build._advice(UNSOLVED)
    gone = "error: Failed to fetch: `…/pear-1.0.whl`\n  cause: HTTP status client error (404 Not Found) for url (…)"
    assert "uv lock --upgrade-package" in environment_build._advice(gone)
    unknown = UNSOLVED + "\n  cause: Because there is no version of pear==9 and you require pear==9, we can conclude"
    assert "a version that the index has" in environment_build._advice(unknown)
    assert "free space" in environment_build._advice("[Errno 122] Disk quota exceeded: '/home/ann/x'")


def test_a_full_disk_under_the_build_itself_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "marker"))

    monkeypatch.setattr(environment_build, "_build_through", full)
    job = {"folder": str(tmp_path / "env/k"), "stage": str(tmp_path), "indexes": []}
    assert environment_build.main(json.dumps(job)) == 1
    said = capfd.readouterr().err.splitlines()
    assert said[0] == f"afield: No space left on device: {tmp_path}/marker"
    assert said[1].startswith("try: free space")
