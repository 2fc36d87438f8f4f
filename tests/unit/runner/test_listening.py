"""Who listens on this machine, by the kernel's own tables and by real sockets."""

from __future__ import annotations

import socket

import pytest

from afield.runner.listening import listens


@pytest.mark.parametrize(
    ("family", "address", "ours"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET, "127.0.0.9", False),
        (socket.AF_INET6, "::1", True),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET6, "::ffff:127.0.0.1", True),
    ],
)
def test_a_port_listens_where_localhost_leads(family: socket.AddressFamily, address: str, ours: bool) -> None:
    with socket.socket(family) as made:
        try:
            made.bind((address, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {address}: {error}")
        port = str(made.getsockname()[1])
        assert listens(port) is False, "bound, and deaf"
        made.listen()
        assert listens(port) is ours
    assert listens(port) is False


def test_a_socket_listens_at_its_path_and_nobody_is_knocked_at(tmp_path) -> None:
    path = str(tmp_path / "a b.sock")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        assert listens(path) is False, "bound, and deaf"
        made.listen()
        assert listens(path) is True
        made.settimeout(0)
        with pytest.raises(BlockingIOError):
            made.accept()
    assert listens(path) is False, "the file alone is nobody"
