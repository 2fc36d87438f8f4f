"""Bugs planted on purpose are found: a detector that finds nothing proves something only if it finds what is there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.zoo.bug import Bug
from tests.zoo.bugs import BUGS
from tests.zoo.zoo import AT_ONCE, LIMIT_S, Found, search, simulated

Searches = dict[str, Future[Found]]
FOCUSES = sorted({bug.by for bug in BUGS if bug.simulated} - {"swarm"})  # the simulator's own tests run the swarm


@pytest.fixture(scope="module")
def searches() -> Iterator[Searches]:
    """All searches, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        clean = {focus: pool.submit(simulated, focus) for focus in FOCUSES}
        yield {**{bug.name: pool.submit(search, bug) for bug in BUGS}, **clean}
        pool.shutdown(cancel_futures=True)


def test_thirty_bugs_with_names_of_their_own() -> None:
    names = {bug.name for bug in BUGS}
    assert len(names) == len(BUGS) >= 30


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, searches: Searches) -> None:
    found = searches[bug.name].result(2 * LIMIT_S)
    assert found.at is not None, f"{bug.what}: {bug.by} does not see it: {found.said}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("focus", FOCUSES)
def test_the_same_schedules_find_nothing_in_what_is_not_broken(focus: str, searches: Searches) -> None:
    found = searches[focus].result(2 * LIMIT_S)
    assert found == Found(None, "")
