"""The proxy fails the way networks fail, seen by plain sockets and by the real ssh client."""

from __future__ import annotations

import select
import socket
import subprocess

import pytest

from afield.errors import AfieldError
from afield.testing.hosts import Hosts
from afield.testing.proxy import Proxy


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def connect(proxy):
    return socket.create_connection((proxy.address, proxy.port), timeout=10)


@pytest.fixture
def ends(server):
    """(proxy, client's socket, server's socket), connected through the proxy."""
    with Proxy(*server.getsockname()) as proxy, connect(proxy) as client:
        other, _ = server.accept()
        other.settimeout(10)
        with other:
            yield proxy, client, other


def send_until_cut(end):
    while True:
        end.sendall(b"x" * 100_000)


def receive(end, count):
    data = b""
    while len(data) < count and (more := end.recv(count - len(data))):
        data += more
    return data


def test_bytes_and_ends_pass_both_ways(ends):
    proxy, client, server = ends
    big = bytes(range(256)) * 4096
    client.sendall(b"hello")
    assert receive(server, 5) == b"hello"
    server.sendall(big[:500_000])
    assert receive(client, 500_000) == big[:500_000]
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.sendall(b"late")
    assert receive(client, 4) == b"late"
    assert proxy.passed() == (500_004, 5)


def test_a_black_hole_holds_everything_back_until_it_heals(ends, server):
    proxy, client, other = ends
    proxy.blackhole()
    client.sendall(b"lost?")
    with connect(proxy) as second:
        second.sendall(b"anyone?")
        ready, _, _ = select.select([client, other, second, server], [], [], 0.3)
        assert ready == []
        proxy.forward()
        assert receive(other, 5) == b"lost?"
        accepted, _ = server.accept()
        with accepted:
            assert receive(accepted, 7) == b"anyone?"


def test_a_reset_ends_old_and_new_connections(ends):
    proxy, client, other = ends
    proxy.reset()
    for end in (client, other):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    with pytest.raises(ConnectionResetError), connect(proxy) as second:  # as soon as it connects, or right after
        second.recv(1)


@pytest.mark.parametrize("count", [0, 1, 70_000])
def test_a_cut_lets_exactly_so_many_bytes_pass_and_then_recovers(server, count):
    with Proxy(*server.getsockname()) as proxy:
        with connect(proxy) as client:
            other, _ = server.accept()
            proxy.cut_after(count, towards="server")
            with other, pytest.raises(ConnectionError):
                send_until_cut(client)
        assert proxy.passed() == (0, count)
        with connect(proxy) as client:
            other, _ = server.accept()
            with other:
                client.sendall(b"again")
                assert receive(other, 5) == b"again"


def test_delayed_bytes_keep_their_order_when_the_delay_ends(ends):
    proxy, client, other = ends
    proxy.delay(0.6)
    client.sendall(b"first")
    assert select.select([other], [], [], 0.1)[0] == []
    proxy.forward()
    client.sendall(b"second")
    assert receive(other, 11) == b"firstsecond"


def test_one_way_holds_back_what_goes_the_other(ends):
    proxy, client, other = ends
    proxy.one_way("client")
    other.sendall(b"down")
    assert receive(client, 4) == b"down"
    client.sendall(b"up")
    assert select.select([other], [], [], 0.2)[0] == []
    proxy.forward()
    assert receive(other, 2) == b"up"


def test_half_open_tells_the_server_only(ends, server):
    proxy, client, other = ends
    proxy.half_open()
    with pytest.raises(ConnectionResetError):
        other.recv(1)
    client.sendall(b"is anyone there?")
    assert select.select([client], [], [], 0.2)[0] == []
    with connect(proxy) as second:
        accepted, _ = server.accept()
        with accepted:
            second.sendall(b"again")
            assert receive(accepted, 5) == b"again"


def test_throttled_bytes_all_arrive_and_late(ends):
    proxy, client, other = ends
    proxy.throttle(100_000)
    client.sendall(bytes(30_000))
    assert receive(other, 30_000) == bytes(30_000)
    client.sendall(bytes(2_000_000))
    proxy.forward()
    assert receive(other, 2_000_000) == bytes(2_000_000)


def test_ssh_meets_the_faults(needs_sshd):
    with Hosts(count=1) as hosts, Proxy(hosts[0].address, hosts[0].port) as proxy:
        hosts.route("box1", proxy.address, proxy.port)
        words = hosts[0].command("head -c 3000000 /dev/zero")
        whole = subprocess.run(words, capture_output=True, timeout=30, check=True)
        assert len(whole.stdout) == 3_000_000
        proxy.cut_after(1_000_000)
        part = subprocess.run(words, capture_output=True, timeout=30, check=False)
        assert part.returncode == 255
        assert 0 < len(part.stdout) < 1_000_000
        proxy.reset()
        assert subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 255
        proxy.forward()
        assert len(subprocess.run(words, capture_output=True, timeout=30, check=True).stdout) == 3_000_000


def test_a_proxy_that_ended_says_so(server):
    with Proxy(*server.getsockname()) as proxy:
        proxy._process.kill()
        proxy._process.wait()
        with pytest.raises((AfieldError, BrokenPipeError)):
            proxy.forward()
