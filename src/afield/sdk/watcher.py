"""Tells calls when they begin and end: one stream of events for all that wait, and a few threads that fetch results.

All threads are daemons: a program that ends does not wait for its jobs, and jobs do not end with the program.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from afield.errors import Unreachable
from afield.folders import Folders
from afield.sdk.call import Call
from afield.sdk.client import Client

FETCHERS = 4
IDLE_S = 2.0
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0


class Watcher:
    """For one client. The stream is open only while something waits."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._waiting: dict[int, Call[Any]] = {}
        self._early: set[int] = set()
        self._submitting = 0
        self._since = 0
        self._running = False
        self._ended: SimpleQueue[Call[Any]] = SimpleQueue()
        self._fetchers = 0

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Around a submission and the `add` of its calls: nothing that happens meanwhile is missed."""
        with self._lock:
            if not self._running and not self._submitting:
                self._since = int(self.client.hello()["seq"])
            self._submitting += 1
        try:
            yield
        finally:
            with self._lock:
                self._submitting -= 1
                if self._waiting and not self._running:
                    threading.Thread(target=self._follow, args=(self._since,), name="afield calls", daemon=True).start()
                    self._running = True

    def add(self, call: Call[Any]) -> None:
        """See to it that a call gets its end."""
        with self._lock:
            if call.number in self._early or call.ended:
                self._fetch(call)
            else:
                self._waiting[call.number] = call

    def _follow(self, since: int) -> None:
        try:
            with closing(self.client.events(since)) as events:
                for event in events:
                    if self._heard(event["kind"], event["body"]):
                        return
        except Exception as error:  # noqa: BLE001 whatever it is, those who wait must hear of it
            self._give_up(error)

    def _heard(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Take in one event; whether nothing waits any more."""
        begun = None
        with self._lock:
            if kind == "attempt_started":
                begun = self._waiting.get(body["attempt"][0])
            elif kind == "job_decided":
                call = self._waiting.pop(body["job"], None)
                if call is not None:
                    self._fetch(call)
                elif self._submitting:
                    self._early.add(body["job"])
            over = not self._waiting and not self._submitting
            if over:
                self._running = False
                self._early.clear()
        if begun is not None:
            begun.begin()
        return over

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            left = list(self._waiting.values())
            self._waiting.clear()
            self._running = False
        for call in left:
            call.settle(None, error)

    def _fetch(self, call: Call[Any]) -> None:
        """Have the result brought; the lock is held."""
        self._ended.put(call)
        if self._fetchers < FETCHERS:
            self._fetchers += 1
            threading.Thread(target=self._bring, name="afield results", daemon=True).start()

    def _bring(self) -> None:
        while True:
            try:
                call = self._ended.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._ended.empty():
                        self._fetchers -= 1
                        return
                continue
            bring(call)


def bring(call: Call[Any]) -> None:
    """Settle a call whose job has ended; asks for as long as the node does not answer, for the result is there."""
    pause = FIRST_RETRY_S
    while True:
        try:
            call.bring()
        except Unreachable:
            time.sleep(pause)
            pause = min(pause * 2, LAST_RETRY_S)
            continue
        except Exception as error:  # noqa: BLE001 it belongs to who waits for the result
            call.settle(None, error)
        return


def watcher() -> Watcher:
    """The one of this process for the user's store."""
    return _made(os.getpid(), Folders().state)


@lru_cache(maxsize=4)
def _made(_process: int, _state: str) -> Watcher:
    return Watcher(Client())
