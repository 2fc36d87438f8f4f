"""Hosts that OpenSSH reaches, added by a person."""

from __future__ import annotations

from pathlib import Path

from afield.backends.static import Static
from afield.model.node import Node
from afield.transport.port import Transport
from afield.transport.ssh import Ssh


class SshBackend(Static):
    """SSH hosts. `control` is the folder for control sockets, `config` another ssh config file than the user's."""

    name = "ssh"

    def __init__(self, control: Path, config: str | None) -> None:
        self._control = control
        self._config = config

    def transport(self, node: Node, agent: str = "") -> Transport:
        """OpenSSH's own client; its connection is a control master."""
        return Ssh(node.target, control=self._control, config=self._config, agent=agent)
