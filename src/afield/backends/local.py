"""This machine as a node."""

from __future__ import annotations

from afield.backends.static import Static
from afield.model.node import Node
from afield.transport.local import Local
from afield.transport.port import Transport


class LocalBackend(Static):
    """This machine; the node `local` always exists."""

    name = "local"

    def transport(self, node: Node, agent: str = "") -> Transport:
        """A child process of ours."""
        return Local()
