"""Hearing of ended children: all of them at once, each once, also while others wait to be written down."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a process of its own: every child of this one would be heard of.
HEAR = """
import json, os, signal, sys
from afield.runner import real, real_process
from afield.runner.effects import Reap, Wait

if sys.argv[1] == "listed by name":
    real_process.CHILDREN = "/proc/none"

if sys.argv[1] == "one by one":
    real_process.CHILDREN = "/proc/self"  # opens as no file

def child(number):
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL) if number % 2 else os._exit(number)
    return pid

def ended(pids):
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pids

def hear():
    return [[pids.index(pid), code, signum] for _, pid, code, signum in (yield Wait(0.0))]

def life():
    heard = [(yield from hear()), (yield from hear())]
    yield Reap(pids[0])
    pids.extend(ended([child(4)]))
    heard += [(yield from hear()), (yield from hear())]
    for pid in pids[1:]:
        yield Reap(pid)
    return heard + [(yield from hear())]

pids = ended([child(number) for number in range(4)])
print(json.dumps(real.perform(life(), real.World())))
"""

FIRST = [[0, 0, None], [1, None, 9], [2, 2, None], [3, None, 9]]


@pytest.mark.parametrize("way", ["as the kernel tells", "listed by name"])
def test_all_exits_are_heard_at_once_and_each_once(way: str) -> None:
    assert _heard(way) == [FIRST, [], [[4, 4, None]], [], []]


def test_where_they_cannot_be_listed_they_are_heard_one_by_one() -> None:
    assert _heard("one by one") == [FIRST[:1], [], FIRST[1:2], [], []]


def _heard(way: str) -> object:
    told = subprocess.run([sys.executable, "-c", HEAR, way], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(told.stdout)
