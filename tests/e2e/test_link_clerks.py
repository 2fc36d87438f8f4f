"""Slow requests are answered by clerks of a link: they serve again and again, never queue, and may die at any time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from afield.errors import AfieldError
from afield.runner.clerks import IDLE
from afield.testing.processes import has_variable, running
from afield.transport.local import Local

pytestmark = pytest.mark.anyio

WORKSPACE = "0abc"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def link(sandbox):
    opened = await Local(sandbox.env).open("st")
    yield opened
    await opened.close()


def clerks(sandbox) -> set[int]:
    """The clerks of the sandbox's links; one that is being killed counts until all that it held open is closed."""
    links = {p.pid for p in running() if p.name == "afield-link" and has_variable(p, "AFIELD_SANDBOX", sandbox.id)}
    return {process.pid for process in running() if process.name == "afield-clerk" and process.parent in links}


async def until(condition: Callable[[], bool], state: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(20):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it never came to that: {state()}") from None


@contextmanager
def busy_workspace(sandbox):
    """While it is open, launches with code wait for the workspace's lock."""
    folder = sandbox.home / ".afield" / "s" / "st" / "w" / WORKSPACE
    folder.mkdir(parents=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def with_code(job: int) -> dict[str, object]:
    code = {"workspace": WORKSPACE, "tree": "0" * 40, "cwd": ""}
    return {"store": "st", "job": job, "attempt": 1, "node": "local", "nonce": f"{job:032x}", "code": code}


async def test_one_request_after_another_needs_no_clerk_each(link, sandbox):
    for _ in range(20):
        await link.call("runs")
    # One is enough where its word that it is done is read before the next request; a busy machine may need one more.
    assert 1 <= len(clerks(sandbox)) <= 2


async def test_a_clerk_that_died_while_idle_is_not_missed(link, sandbox):
    for _ in range(3):
        await link.call("runs")
        for pid in clerks(sandbox):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not clerks(sandbox), lambda: clerks(sandbox))
    await link.call("runs")


async def test_the_death_of_a_clerk_interrupts_its_request_only(link, sandbox):
    with busy_workspace(sandbox):
        hanging = asyncio.ensure_future(link.call("launch", spec=with_code(1)))
        await until(lambda: len(clerks(sandbox)) == 1, lambda: clerks(sandbox))
        (busy,) = clerks(sandbox)
        await link.call("runs")
        os.kill(busy, signal.SIGKILL)
        with pytest.raises(AfieldError) as caught:
            await hanging
        assert caught.value.code == "interrupted"
    reply, _ = await link.call("launch", spec=with_code(1))
    assert reply["state"] == "need"


async def test_no_request_waits_for_a_clerk_and_few_clerks_stay(link, sandbox):
    with busy_workspace(sandbox):
        hanging = [asyncio.ensure_future(link.call("launch", spec=with_code(job))) for job in range(1, 2 * IDLE + 1)]
        await until(lambda: len(clerks(sandbox)) == 2 * IDLE, lambda: clerks(sandbox))
        await link.call("runs")
        assert not any(order.done() for order in hanging)
    assert {(await order)[0]["state"] for order in hanging} == {"need"}
    await until(lambda: len(clerks(sandbox)) == IDLE, lambda: clerks(sandbox))


async def test_idle_clerks_leave_with_the_link(sandbox):
    link = await Local(sandbox.env).open("st")
    await link.call("runs")
    assert clerks(sandbox)
    left = clerks(sandbox)
    await link.close()
    await until(
        lambda: not left & {process.pid for process in running()}, lambda: left & {process.pid for process in running()}
    )
