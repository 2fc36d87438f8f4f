"""The way of a build to the package index on a node that reaches none: asked of the controller, again when it is lost.

In the folder of the stage `asks.json` says that the build waits for a way, each time under another id, and `way.json`
is the answer, which is taken and removed. So it is the same build that goes on, however long its controller was away
and whichever one answers; and nothing of it is asked of the one who launched it.
"""

import base64
import json
import os
import re
import secrets
import socket
import time
from urllib.parse import unquote, urlsplit

from .environment import WAY, own_index, reached
from .folder import ASKS
from .points import around

GIVEN = "way.json"
MOST = 5
"""So many ways may be lost in one build before it fails."""

WITHIN_S = 24 * 3600.0
"""How long a build waits for a way: as long as a laptop sleeps, not for ever, since it holds its devices."""

POLL_S = 0.2
ANSWER_S = 5.0
NETWORK = re.compile(
    r"tunnel|connect error|[Cc]onnection (?:closed|reset|refused)|timed out|error sending request|Failed to fetch"
    r"|error decoding response|unexpected (?:EOF|end of file)|[Nn]etwork|[Cc]ould not (?:connect|resolve)|dns error"
)
"""What uv, and git under it, say of a connection that broke: nothing else is tried again."""


class Way:
    """The ways of one build. `folder` is that of its stage, `indexes` the hosts of the default index; [] for no way."""

    def __init__(self, folder, indexes):
        self.folder = folder
        self.indexes = indexes
        self.lost = 0
        self.reason = ""
        """Why there is none, where the controller could give none."""
        self._proxy = ""

    def begin(self):
        """Have a way where this node needs one; whether the build may begin."""
        if not self.indexes or own_index() or any(reached(host, int(port)) for host, port in self.indexes):
            return True
        return self._ask()

    def broke(self, tail):
        """Whether a step that ended with these words failed for its way: they are of the network, and it is gone."""
        return bool(self._proxy and NETWORK.search(tail)) and not alive(self._proxy)

    def again(self):
        """Have another way after one that broke; whether the build may begin again."""
        self.lost += 1
        return self.lost <= MOST and self._ask()

    @property
    def lent(self):
        """Whether the build goes through the controller."""
        return bool(self._proxy)

    def _ask(self):
        name = secrets.token_hex(8)
        remove(self.folder + "/" + GIVEN)
        keep(self.folder + "/" + ASKS, {"id": name, "lost": self.lost, "most": MOST, "waits": True})
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            given = load(self.folder + "/" + GIVEN)
            if given.get("id") == name:
                self._take({k: v for k, v in given["way"].items() if k in WAY})
                keep(self.folder + "/" + ASKS, {"id": name, "lost": self.lost, "most": MOST, "waits": False})
                remove(self.folder + "/" + GIVEN)
                return True
            time.sleep(POLL_S)
        return False

    def _take(self, way):
        self.reason = way.pop("AFIELD_NO_WAY", "")
        self._proxy = way.get("HTTPS_PROXY", "")
        for word in WAY:
            os.environ.pop(word, None)
        os.environ.update(way)


def give(folder, name, way):
    """Answer a build that asks under this id; whether it still waits for that."""
    asks = load(folder + "/" + ASKS)
    if asks.get("id") != name or not asks.get("waits"):
        return False
    keep(folder + "/" + GIVEN, {"id": name, "way": way})
    return True


def alive(proxy):
    """Whether the proxy of a way answers: it knows the token, and tells us that it only connects."""
    place = urlsplit(proxy)
    word = base64.b64encode(unquote("%s:%s" % (place.username, place.password)).encode("utf-8")).decode("ascii")
    try:
        with socket.create_connection((place.hostname, place.port), ANSWER_S) as there:
            there.settimeout(ANSWER_S)
            there.sendall(("GET / HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % word).encode("ascii"))
            return b" 405 " in there.recv(64)
    except OSError:
        return False


def load(path):
    """The JSON object in a file; {} when there is none."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def keep(path, value):
    """Write a file that nobody else may read, whole or not at all."""
    part = path + ".part"
    remove(part)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file)
    with around("environment.way"):
        os.replace(part, path)


def remove(path):
    """Remove a file that may not be there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
