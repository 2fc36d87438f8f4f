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

# A child ends right after the look at ended children, so that the signal has come before the wait begins.
BETWEEN = """
import os
from afield.runner import real, real_process
from afield.runner.effects import Now, Wait

entrance, gate = os.pipe()
pid = os.fork()
if pid == 0:
    os._exit(len(os.read(entrance, 1)) + 6)
look = real_process.exits

def look_too_early(world):
    real_process.exits = look
    found = look(world)
    os.write(gate, b"1")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return found

real_process.exits = look_too_early

def life():
    _, before, _ = yield Now()
    heard = yield Wait(before + 15.0)
    _, after, _ = yield Now()
    return heard == [("exit", pid, 7, None)] and after < before + 15.0

print("heard" if real.perform(life(), real.World()) else "slept")
"""

FIRST = [[0, 0, None], [1, None, 9], [2, 2, None], [3, None, 9]]


@pytest.mark.parametrize("way", ["as the kernel tells", "listed by name"])
def test_all_exits_are_heard_at_once_and_each_once(way: str) -> None:
    assert _heard(way) == [FIRST, [], [[4, 4, None]], [], []]


def test_where_they_cannot_be_listed_they_are_heard_one_by_one() -> None:
    assert _heard("one by one") == [FIRST[:1], [], FIRST[1:2], [], []]


def test_one_that_ends_right_before_the_wait_wakes_it() -> None:
    """Its signal was once read away: a keeper knew of a killed shepherd only a minute later."""
    told = subprocess.run([sys.executable, "-c", BETWEEN], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "heard\n"


def _heard(way: str) -> object:
    told = subprocess.run([sys.executable, "-c", HEAR, way], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(told.stdout)
