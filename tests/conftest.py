"""Fixtures that every folder of tests may use: real hosts and private folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from afield.errors import AfieldError
from afield.testing import sshd
from afield.testing.hosts import Hosts


@pytest.fixture(scope="session")
def needs_sshd() -> None:
    """Skips the test where OpenSSH's server is not installed."""
    try:
        sshd.find()
    except AfieldError as error:
        pytest.skip(f"{error.what}: {'; '.join(error.hints)}")


@pytest.fixture(scope="session")
def hosts(needs_sshd: None) -> Iterator[Hosts]:
    """Three real hosts for the whole run; as root each has a system user of its own."""
    with Hosts(count=3, users=os.geteuid() == 0) as made:
        yield made
