"""The one key of a followed job: `d` leaves it running. Only where a person sits at the terminal in front of us."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

KEY = b"d"
AGAIN_S = 0.05
"""Between two signals for one key: one that comes right before the main thread sleeps in the kernel wakes nobody."""


class Leave(BaseException):
    """The person pressed the key. No Exception: like Ctrl-C it is nobody's error."""


def person() -> bool:
    """Whether somebody can read our talk and press keys: both are a terminal, and we are in front."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


class _Block:
    """The block that the key leaves, once: whether that was heard, or it is at its end anyway."""

    over = False

    def leave(self, _number: int, _frame: object) -> None:
        if not self.over:
            self.over = True
            raise Leave


@contextmanager
def leaving() -> Iterator[None]:
    """Within the block the key raises Leave in it. Sent to the background, we let go of the terminal."""
    if not person():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    old = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTTIN, signal.SIGTTOU)}
    block = _Block()
    old[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, block.leave)
    awake, wake = os.pipe()
    watcher = threading.Thread(target=_watch, args=(terminal, awake, block), daemon=True)
    try:
        _change(terminal, [*before[:3], before[3] & ~(termios.ICANON | termios.ECHO), *before[4:]])
        watcher.start()
        yield
    finally:
        block.over = True
        os.close(wake)
        watcher.join()
        os.close(awake)
        _change(terminal, before)
        for number, handler in old.items():
            signal.signal(number, handler)


def _change(terminal: int, modes: list[int | list[bytes | int]]) -> None:
    if person():
        termios.tcsetattr(terminal, termios.TCSADRAIN, modes)


def _watch(terminal: int, awake: int, block: _Block) -> None:
    while True:
        ready, _, _ = select.select([terminal, awake], [], [])
        if awake in ready:
            return
        try:
            pressed = os.read(terminal, 64)
        except OSError:  # we are in the background now
            return
        while pressed == KEY and not block.over:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            if select.select([awake], [], [], AGAIN_S)[0]:
                return
        if not pressed:
            return
