"""What tests of the installed command share: a real host that is a node already."""

from __future__ import annotations

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox


@pytest.fixture
def host(hosts: Hosts, sandbox: Sandbox) -> Host:
    """The first host, added as a node."""
    done = sandbox.afield("node", "add", hosts[0].name)
    assert done.returncode == 0, done.stderr
    return hosts[0]
