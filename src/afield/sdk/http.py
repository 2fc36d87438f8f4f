"""HTTP over a Unix socket with the standard library: JSON answers, raw bytes, frames as they come."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress

from afield.build import build
from afield.errors import AfieldError, Unreachable, from_dict
from afield.runner import wire

TYPE_CHECKING = False  # read by type checkers as true; every command would pay for loading typing
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from typing import Any

    Frame = tuple[dict[str, Any], bytes]

PIECE = 1 << 20
"""Bytes asked of the socket at once."""

HELLO_S = 10.0
"""How long a living server may take to say who it is."""


class Gone(Unreachable):
    """afield's own process hung up in the middle; what it had stored is safe, and asking again starts another."""

    code = "server-gone"


class Connection(http.client.HTTPConnection):
    """One connection to the server behind a socket. One request at a time; not for several threads at once."""

    auto_open = 0
    """A connection that broke stays closed: the next one may lead to another server with another token."""

    def __init__(self, path: str, token: str = "") -> None:
        super().__init__("afield")
        self.path = path
        self.token = token
        self.told: dict[str, Any] = {}
        """What the server said of itself in `hello`."""

    def connect(self) -> None:
        """Open the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(self.path)
        except OSError:
            self.close()
            raise

    @property
    def hung_up(self) -> bool:
        """Whether the server closed a connection that nobody was using."""
        if self.sock is None:
            return True
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        """End what another thread does with this connection; it meets the end of the stream."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def hello(self) -> dict[str, Any]:
        """Who answers. Raises Gone when it hangs up, TimeoutError when it is silent for long."""
        assert self.sock is not None
        self.sock.settimeout(HELLO_S)
        try:
            self.told = self.call("GET", "/v1/hello")
        except Gone as error:
            raise (error.__cause__ if isinstance(error.__cause__, TimeoutError) else error) from None
        self.sock.settimeout(None)
        return self.told

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that answers a request. Raises what the server says, and Gone when it hangs up."""
        response = self._ask(method, path, body)
        try:
            data = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise self._gone(error) from error
        if response.status >= 400:
            raise _said(data, response.status)
        return json.loads(data)

    def frames(self, method: str, path: str, body: Any = None) -> Generator[Frame, None, None]:
        """The frames of an answer as they come. The connection is closed when the iterator is."""
        decoder = wire.Decoder()
        for piece in self.pieces(method, path, body):
            yield from decoder.feed(piece)

    def pieces(self, method: str, path: str, body: Any = None) -> Generator[bytes, None, None]:
        """The bytes of an answer as they come. The connection is closed when the iterator is."""
        try:
            response = self._ask(method, path, body)
            if response.status >= 400:
                raise _said(response.read(), response.status)
            while piece := response.read1(PIECE):
                yield piece
        except (http.client.HTTPException, OSError) as error:
            raise self._gone(error) from error
        finally:
            self.close()

    def tell(self, path: str, frames: Iterable[Frame]) -> Any:
        """The JSON that answers frames; the connection is closed. Raises what the server says, also in the middle."""
        headers = self._headers() | {"Content-Type": "application/vnd.afield.frames", "Transfer-Encoding": "chunked"}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                # It hung up before it had all: it said why.
                self.request(
                    "POST", path, (wire.pack(head, data) for head, data in frames), headers, encode_chunked=True
                )
            response = self.getresponse()
            data = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise self._gone(error) from error
        finally:
            self.close()
        if response.status >= 400:
            raise _said(data, response.status)
        return json.loads(data)

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "Afield-Build": build(),
            "Afield-Agent-Sock": os.environ.get("SSH_AUTH_SOCK", ""),
        }

    def _ask(self, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        headers = self._headers()
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode("ascii")
        try:
            self.request(method, path, content, headers)
            return self.getresponse()
        except (http.client.HTTPException, OSError) as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> Gone:
        self.close()
        return Gone("afield's server went away", why=str(error) or type(error).__name__)


def _said(data: bytes, status: int) -> AfieldError:
    try:
        return from_dict(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return AfieldError(f"the server answered {status}", why=data[:200].decode("utf-8", "replace"))
