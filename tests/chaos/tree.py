"""The program of a torture attempt: grows a random tree of unruly processes and notes each of them.

    tree.py SEED NOTES HOW      HOW: stay, or leave (end while the tree lives)

Every process notes its pid, and what it is, before it goes on. Bystanders run this file too, with HOW = bystander.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

MOST = 24


def note(kind: str) -> None:
    with open(sys.argv[2], "a") as file:
        file.write(f"{os.getpid()} {kind}\n")


def grow(dice: random.Random, depth: int) -> None:
    for _ in range(dice.randint(1, 3)):
        seed = dice.random()
        if os.fork() == 0:
            branch(random.Random(seed), depth)


def branch(dice: random.Random, depth: int) -> None:
    """A child: never returns."""
    kinds = ["fork"]

    def also(kind: str, share: float) -> bool:
        chosen = dice.random() < share
        kinds.extend([kind] if chosen else [])
        return chosen

    if also("setsid", 0.4):
        os.setsid()
    if also("double", 0.4) and os.fork():
        os._exit(0)
    if also("deaf", 0.4):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if also("closed", 0.4):
        os.closerange(3, 1024)
    if also("zombies", 0.2):
        for _ in range(3):
            if os.fork() == 0:
                os._exit(0)
    if also("breeder", 0.15):
        signal.signal(signal.SIGTERM, breed)
    note(",".join(kinds))
    if depth:
        grow(dice, depth - 1)
    if dice.random() < 0.2:
        os.kill(os.getpid(), signal.SIGSTOP)
    if dice.random() < 0.3:
        os.execve("/bin/sleep", ["sleep", "300"], {} if dice.random() < 0.5 else {"AFIELD_MARK": "st1.9.9.n1.ffffffff"})
    wait()


def breed(_number: int, _frame: object) -> None:
    """A bounded fork bomb: asked to leave, it makes children of children instead."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _child in range(MOST):
        if os.fork() == 0:
            os.setsid()
            note("bred")
            wait()


def wait() -> None:
    while True:
        time.sleep(300)


if __name__ == "__main__":
    if sys.argv[3] == "bystander":
        note("bystander")
        wait()
    chance = random.Random(int(sys.argv[1]))
    grow(chance, chance.randint(0, 2))
    note("root")
    print("grown", flush=True)
    if sys.argv[3] == "stay":
        wait()
