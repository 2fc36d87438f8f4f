"""The random campaign: several arenas driven at once, and one killer that strikes anywhere at a steady rate."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Thread

from tests.chaos.arena import Arena, Tools
from tests.chaos.census import Census
from tests.chaos.judge import lost
from tests.chaos.zygote import Zygote

ROLES = {"controller": 15, "link": 13, "clerk": 7, "keeper": 15, "shepherd": 50}
LOOK_S = 0.005
ARENAS = 6
LIVE = 10
RATE = 20.0
"""Kills a second that the killer tries for."""


@dataclass(slots=True)
class Totals:
    """What a campaign did and found; `violations` are the judge's words, `stories` tell of where they were."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    controllers: int = 0
    jobs: int = 0
    attempts: int = 0
    lost_honest: int = 0
    seconds_of_fire: float = 0.0
    seconds: float = 0.0
    exits: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)


class Campaign:
    """Kills `kills` processes at random moments, with `rate` a second at most."""

    def __init__(self, seed: int, kills: int, rate: float = RATE) -> None:
        self.totals = Totals(seed)
        self._wanted = kills
        self._rate = rate
        self._dice = random.Random(seed)
        self._stop = Event()
        self._broken: list[str] = []

    def run(self) -> Totals:
        """The whole of it."""
        began = time.monotonic()
        zygote = Zygote()
        tools = Tools(zygote, Census())
        arenas = [Arena(tools, random.Random(self._dice.randrange(2**31))) for _ in range(ARENAS)]
        try:
            self._under_fire(arenas)
            self.totals.seconds_of_fire = round(time.monotonic() - began, 1)
            self._finish(arenas, zygote)
        finally:
            for arena in arenas:
                arena.close()
            zygote.close()
        self.totals.seconds = round(time.monotonic() - began, 1)
        return self.totals

    def _under_fire(self, arenas: list[Arena]) -> None:
        drivers = [Thread(target=self._drive, args=(arena,), daemon=True) for arena in arenas]
        for driver in drivers:
            driver.start()
        try:
            self._strike(arenas)
        finally:
            self._stop.set()
            for driver in drivers:
                driver.join()

    def _drive(self, arena: Arena) -> None:
        try:
            while not self._stop.is_set():
                arena.drive(LIVE)
                if arena.dice.random() < 0.02:
                    arena.raise_one()
                self._stop.wait(0.1)
        except Exception as error:  # noqa: BLE001 a driver that broke is a finding like any other
            self._broken.append(f"the driver of {arena.sandbox.root} broke: {error!r}")
            self._stop.set()

    def _strike(self, arenas: list[Arena]) -> None:
        roles, weights = list(ROLES), list(ROLES.values())
        kills: Counter[str] = Counter()
        began = time.monotonic()
        while sum(kills.values()) < self._wanted and not self._stop.is_set():
            role = self._dice.choices(roles, weights)[0]
            while not self._dice.choice(arenas).kill(role) and not self._stop.is_set():
                time.sleep(LOOK_S)
            kills[role] += 1
            early = began + sum(kills.values()) / self._rate - time.monotonic()
            time.sleep(self._dice.uniform(0, 2 * early) if early > 0 else 0)
        self.totals.kills = dict(kills)

    def _finish(self, arenas: list[Arena], zygote: Zygote) -> None:
        self.totals.violations += self._broken
        with ThreadPoolExecutor(len(arenas)) as pool:
            verdicts = list(pool.map(Arena.drain, arenas))
        for arena, wrong in zip(arenas, verdicts, strict=True):
            self.totals.violations += wrong
            self.totals.stories += [arena.story()] if wrong else []
            history = arena.history()
            self.totals.jobs += len(history.told)
            self.totals.attempts += sum(len(t.attempts) for t in history.told)
            self.totals.lost_honest += lost(history.told)
            self.totals.controllers += arena.forked
        self.totals.exits = zygote.ended()
