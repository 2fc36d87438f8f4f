"""Ports of this machine that lead elsewhere: whole bytes in both directions, through cuts, and closed at the end."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afield.errors import Conflict, UsageError
from afield.sdk.forward import Way, parse
from afield.sdk.relay import Relay, listen


@contextmanager
def far_end(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """A Unix socket at which each connection is served in a thread."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def echo_at_the_end(connection: socket.socket) -> None:
    """Answers with all it got, once there is no more to come: needs a half-closed connection."""
    with connection:
        connection.sendall(all_of(connection))


def ask(port: int, data: bytes) -> bytes:
    """What comes back for these bytes and their end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answer = all_of(connection)
        sender.join()
        return answer


def cut_off(connection: socket.socket) -> bool:
    """Whether the other side ends this connection without another byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_bytes_go_both_ways_and_one_direction_may_end_first(tmp_path: Path) -> None:
    relay = Relay(listen(0, exactly=True))
    data = os.urandom(5_000_000)
    with far_end(tmp_path / "s", echo_at_the_end):
        relay.lead(str(tmp_path / "s"))
        assert ask(relay.port, data) == data
        assert ask(relay.port, b"") == b""
    relay.close()


def test_a_connection_waits_through_a_cut(tmp_path: Path) -> None:
    relay = Relay(listen(0, exactly=True))
    with (
        far_end(tmp_path / "s", echo_at_the_end),
        socket.create_connection(("127.0.0.1", relay.port), timeout=20) as connection,
    ):
        connection.sendall(b"early")
        connection.shutdown(socket.SHUT_WR)
        relay.lead(str(tmp_path / "s"))
        assert all_of(connection) == b"early"
    relay.close()


def test_what_leads_nowhere_is_closed_and_the_next_one_works(tmp_path: Path) -> None:
    relay = Relay(listen(0, exactly=True))
    relay.lead(str(tmp_path / "gone"))
    with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as connection:
        assert cut_off(connection)
    with far_end(tmp_path / "s", echo_at_the_end):
        relay.lead(str(tmp_path / "s"))
        assert ask(relay.port, b"again") == b"again"
    relay.close()


def test_only_a_far_end_that_gives_nothing_refuses(tmp_path: Path) -> None:
    told: queue.Queue[str] = queue.Queue()
    relay = Relay(listen(0, exactly=True), lambda: told.put("refused"))
    with far_end(tmp_path / "polite", echo_at_the_end), far_end(tmp_path / "rude", lambda c: c.close()):
        relay.lead(str(tmp_path / "polite"))
        assert ask(relay.port, b"x") == b"x"
        assert ask(relay.port, b"") == b"", "we ended first"
        relay.lead(str(tmp_path / "rude"))
        with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as connection:
            assert cut_off(connection)
            assert told.get(timeout=20) == "refused"
    relay.close()
    assert told.empty()


def test_the_end_closes_the_port_and_what_is_open(tmp_path: Path) -> None:
    relay = Relay(listen(0, exactly=True))
    with far_end(tmp_path / "s", lambda connection: connection.sendall(b"hello")):
        relay.lead(str(tmp_path / "s"))
        connection = socket.create_connection(("127.0.0.1", relay.port), timeout=20)
        assert connection.recv(5) == b"hello"
        relay.close()
        assert cut_off(connection)
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port))


def test_a_taken_port_gives_way_unless_it_was_named() -> None:
    with listen(0, exactly=True) as taken:
        port = taken.getsockname()[1]
        with listen(port, exactly=False) as other:
            assert other.getsockname()[1] != port
        with pytest.raises(Conflict, match=f"port {port} is taken here"):
            listen(port, exactly=True)


@pytest.mark.parametrize(
    ("word", "way"),
    [
        ("6006", Way("6006", 6006)),
        ("06006", Way("6006", 6006)),
        ("8080:80", Way("80", 8080, exactly=True)),
        ("0:80", Way("80", 0)),
        ("65535", Way("65535", 65535)),
    ],
)
def test_ports_are_written_as_for_ssh(word: str, way: Way) -> None:
    assert parse(word) == way


@pytest.mark.parametrize("word", ["", "0", "x", "65536", "70000:1", "1:2:3", "-1", "1:", ":1", "1:0", "٣"])
def test_what_is_no_port_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse(word)
