"""Fixtures that every folder of tests may use: real hosts and private folders. How examples are drawn.

Hypothesis draws the same examples in every run, keeps no database and knows no deadline: a slow machine fails nothing,
and a failure here is one everywhere. `AFIELD_EXAMPLES=night` draws others each time, and keeps those that failed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from afield.errors import AfieldError
from afield.testing import sshd
from afield.testing.hosts import Hosts
from afield.testing.sandbox import Sandbox

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
_KEPT = DirectoryBasedExampleDatabase("build/examples")
settings.register_profile("same", derandomize=True, database=None, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("night", database=_KEPT, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("AFIELD_EXAMPLES", "same"))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # `make test &` of a script: all that is started would be deaf to the Ctrl-C that tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that counts what could not be tested here; the reasons stand above it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {str(report.longrepr[-1]) for report in skipped if isinstance(report.longrepr, tuple)}
    terminalreporter.write_line(f"not tested here: {len(skipped)} tests for {len(reasons)} reasons")


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


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A private afield for one test; it reaches the `hosts` when the test asks for these too."""
    config = request.getfixturevalue("hosts").ssh_config if "hosts" in request.fixturenames else None
    with Sandbox(ssh_config=config) as made:
        yield made
