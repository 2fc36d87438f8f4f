"""One small afield under fire: a sandbox, its controllers, the jobs in it and their ledger.

A driver submits, stops and looks, through whichever controller lives; somebody else kills at the same time.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from afield.cli.show import moment
from afield.errors import AfieldError
from afield.folders import Folders
from afield.runner import folder, real_process
from afield.runner.effects import Opened
from afield.sdk.client import submit_key
from afield.sdk.http import Connection, Gone
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until
from tests.chaos.census import Census
from tests.chaos.judge import Attempt, History, Kill, Told, Wish, judge, lines
from tests.chaos.zygote import Zygote

BODY = """
echo "begin $AFIELD_JOB.$AFIELD_ATTEMPT $PPID" >> "$LEDGER"
echo "$FIRST"
sleep "$LASTS"
while [ "$BEATS" -gt 0 ]; do
  BEATS=$((BEATS-1)); echo "beat $AFIELD_JOB.$AFIELD_ATTEMPT" >> "$LEDGER"; sleep 0.1
done
echo "$LAST"
echo "end $AFIELD_JOB.$AFIELD_ATTEMPT $CODE" >> "$LEDGER"
exit "$CODE"
"""
ANSWER_S = 30.0
END_S = 240.0
AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Tools:
    """What all arenas share."""

    zygote: Zygote
    census: Census


class Arena:
    """`extra` are variables of its controllers and runners."""

    def __init__(self, tools: Tools, dice: random.Random, extra: dict[str, str] | None = None) -> None:
        self.sandbox = Sandbox(variables=extra)
        self.dice = dice
        self.census = tools.census
        self.wishes: dict[str, Wish] = {}
        self.kills: list[Kill] = []
        self.forked = 0
        self.stops = 0.15
        """Which share of the jobs will be stopped."""
        self.extras: Callable[[], dict[str, Any]] = dict
        """What else the next job's task holds."""
        self._zygote = tools.zygote
        self._folders = _folders(self.sandbox)
        self._controllers: dict[int, int] = {}
        self._turn = Lock()
        self._connection: Connection | None = None
        self._unanswered: list[dict[str, Any]] = []
        self._seen: set[int] = set()
        self._over: set[int] = set()

    @property
    def ledger(self) -> Path:
        """The file that the bodies write."""
        return self.sandbox.root / "ledger"

    # controllers

    def ensure(self, how_many: int = 1) -> None:
        """See to it that a controller lives, with `how_many` started at once where there was none."""
        self.bury()
        if not self._controllers:
            for _ in range(how_many):
                self.raise_one()

    def raise_one(self, env: dict[str, str] | None = None) -> int:
        """One more controller, whoever lives already; its pid."""
        with self._turn:
            pid, handle = self._zygote.fork(self.sandbox.state, {**self.sandbox.env, **(env or {})})
            self.forked += 1
            self._controllers[pid] = handle
            return pid

    def bury(self) -> None:
        """Forget the controllers that have ended."""
        with self._turn:
            ready, _, _ = select.select(list(self._controllers.values()), [], [], 0)
            for pid in [pid for pid, handle in self._controllers.items() if handle in ready]:
                os.close(self._controllers.pop(pid))

    @property
    def controllers(self) -> list[int]:
        """Those that lived a moment ago."""
        return list(self._controllers)

    def story(self) -> str:
        """The sandbox's, what of ours broke by itself, and all that is known of jobs without an end."""
        stores = self.sandbox.home / ".afield/s"
        troubles = [*stores.glob(f"*/runs/*/{folder.TROUBLE}"), *stores.glob("*/keeper-*.trouble")]
        broke = [f"{path} broke: {path.read_text()}" for path in troubles]
        try:
            hang = [line for view in self.look() for line in self._hanging(view, stores)]
        except Gone as error:
            hang = [str(error)]
        return "\n".join([*broke, *hang, self.sandbox.story()])

    def _hanging(self, view: dict[str, Any], stores: Path) -> Iterator[str]:
        number = view["number"]
        yield f"--- job {number} has no end\n{self.call('GET', f'/v1/jobs/{number}/why')}\n{view}"
        for path in sorted(stores.glob(f"*/runs/{number}.*/**/*")):
            if path.is_file():
                yield f"{path}: {path.read_bytes()[:400]!r}"
        for process in self.sandbox.processes():
            held = [path for path in real_process.opened(None, Opened(process.pid)) if f"/runs/{number}." in path]
            if held:
                yield f"pid {process.pid} has open {held}"

    # killing

    def kill(self, role: str, how: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to one process of a role; whether there was one."""
        return self._kill_controller(how) if role == "controller" else self._kill_runner(role, how)

    def _kill_controller(self, how: signal.Signals) -> bool:
        with self._turn:
            if not self._controllers:
                return False
            handle = self.dice.choice(list(self._controllers.values()))
            if select.select([handle], [], [], 0)[0]:
                return False
            since = time.time()
            signal.pidfd_send_signal(handle, how)
        self._note(since, "controller", "", how)
        return True

    def _kill_runner(self, role: str, how: signal.Signals) -> bool:
        victims = [p for p in self.census.living(self.sandbox.id) if p.role == role]
        if not victims:
            return False
        victim = self.dice.choice(victims)
        attempt = victim.attempt()
        since = time.time()
        was = victim.send(how)
        if was:
            self._note(since, was, attempt if was == "shepherd" else "", how)
        return bool(was)

    def _note(self, since: float, role: str, attempt: str, how: signal.Signals) -> None:
        """Who is starved of time between the two acts may note a kill after all that came of it."""
        if how is signal.SIGKILL:
            self.kills.append(Kill(since, time.time(), role, attempt))

    # driving

    def drive(self, live: int) -> None:
        """One round: jobs up to `live` unfinished ones, a stop here and there, and a look at what ended."""
        self.ensure(2 if self.dice.random() < 0.4 else 1)
        try:
            unfinished = self.look()
            for view in unfinished:
                self._meddle(view)
            if len(unfinished) < live:
                self.submit(live - len(unfinished))
        except Gone:
            time.sleep(AGAIN_S)

    def look(self) -> list[dict[str, Any]]:
        """The unfinished jobs; of those that were seen and have ended the ledger is told."""
        views: list[dict[str, Any]] = self.call("GET", "/v1/jobs?all=0&limit=1000")["jobs"]
        live = {view["number"] for view in views}
        ended = self._seen - live - self._over
        if ended:
            with self.ledger.open("a") as file:
                file.writelines(f"over {number}\n" for number in sorted(ended))
        self._over |= ended
        self._seen |= live
        return views

    def _meddle(self, view: dict[str, Any]) -> None:
        """A job that is held or backs off is released, as a person in a hurry would; some are stopped after a while."""
        if any(words in view["reason"] for words in ("in a row", "tries again")):
            self.call("POST", f"/v1/jobs/{view['number']}/release")
        wish = self.wishes[view["name"]]
        if wish.stopped and view["phase"] in ("running", "starting") and self.dice.random() < 0.3:
            self.call("POST", f"/v1/jobs/{view['number']}/stop")

    def submit(self, count: int) -> None:
        """New jobs, and those whose last submission got no answer and is to be repeated. Raises Gone."""
        bodies, self._unanswered = self._unanswered + [self._body() for _ in range(count)], []
        try:
            views = self.call("POST", "/v1/jobs", {"jobs": bodies, "dry_run": False})["jobs"]
        except Gone:
            # Half of them are asked for again; of the others nobody will ever know more.
            if self.dice.random() < 0.5:
                self._unanswered = bodies
            raise
        for view in views:
            self._seen.add(view["number"])
            self.wishes[view["name"]] = replace(self.wishes[view["name"]], number=view["number"])

    def _body(self) -> dict[str, Any]:
        name = f"w{len(self.wishes)}"
        code, stopped = self.dice.choice([0, self.dice.randrange(256)]), self.dice.random() < self.stops
        first, last = (f"{name} {self.dice.randbytes(20).hex()}" for _ in range(2))
        policy = self.dice.choice(["pass", "rerun"])
        self.wishes[name] = Wish(name, code, f"{first}\n".encode(), f"{last}\n".encode(), policy, None, stopped)
        own = {"LEDGER": self.ledger, "CODE": code, "FIRST": first, "LAST": last, "BEATS": 20 if stopped else 0}
        variables = sorted((k, str(v)) for k, v in {**own, "LASTS": f"{self.dice.uniform(0, 0.5):.3f}"}.items())
        task = {"argv": ["sh", "-c", BODY], "variables": variables, "grace_s": 0.3, **self.extras()}
        request = {"groups": [{"cpu": 0.05}]}
        body = {"key": submit_key(), "name": name, "user": "me", "task": task, "request": request}
        return {**body, "policy": policy, "nodes": ["local"]}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the controller that lives. Raises Gone when there is none or it hangs up."""
        if self._connection is None or self._connection.hung_up:
            self._connection = self._connect()
        sock = self._connection.sock
        assert sock is not None
        sock.settimeout(ANSWER_S)
        answer = self._connection.call(method, path, body)
        sock.settimeout(None)
        return answer

    def _connect(self) -> Connection:
        connection = Connection(self._folders.socket)
        try:
            connection.connect()
            connection.token = Path(self._folders.token).read_text()
        except (OSError, AfieldError) as error:
            connection.close()
            raise Gone("no controller listens", why=str(error)) from error
        return connection

    def persist(self, ask: Callable[[], Any]) -> Any:
        """The answer to a request that may be repeated, from whichever controller lives."""

        def asked() -> list[Any]:
            self.ensure()
            try:
                return [ask()]
            except Gone:
                return []

        return wait_until(asked, within_s=ANSWER_S, every_s=AGAIN_S, show=self.sandbox.story)[0]

    # the end

    def drain(self) -> list[str]:
        """Let all jobs end with nothing killed any more; what the judge says then."""

        def ended() -> bool:
            views: list[dict[str, Any]] = self.persist(self.look)
            for view in views:
                self.persist(partial(self._meddle, view))
            return not views

        deadline = time.monotonic() + END_S
        while not ended() and time.monotonic() < deadline:
            time.sleep(0.05)
        # The last bytes of an attempt may come after its end.
        deadline = time.monotonic() + ANSWER_S
        while (wrong := judge(self.history())) and time.monotonic() < deadline:
            time.sleep(0.2)
        return wrong

    def history(self) -> History:
        """All there is to judge."""
        views = self.persist(lambda: self.call("GET", "/v1/jobs?all=1&limit=1000000"))["jobs"]
        text = self.ledger.read_text() if self.ledger.exists() else ""
        output, gaps = {}, {}
        for path in self.sandbox.state.glob("output/*/p0.out*"):
            if path.suffix == ".gaps":
                gaps[path.parent.name] = path.read_text()
            else:
                output[path.parent.name] = path.read_bytes()
        told = [_told(view) for view in views]
        return History(list(self.wishes.values()), told, lines(text), self.kills, output, gaps)

    def close(self) -> None:
        """End everything in it."""
        if self._connection is not None:
            self._connection.close()
        while self._controllers:
            self._kill_controller(signal.SIGKILL)
            self.bury()
        self.sandbox.close()


def _folders(sandbox: Sandbox) -> Folders:
    before = dict(os.environ)
    os.environ.update(sandbox.env)
    try:
        return Folders()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _told(view: dict[str, Any]) -> Told:
    tries = [
        Attempt(a["number"], a["outcome"], moment(a["placed_at"]) or 0.0, moment(a["ended_at"]) or 0.0, a["detail"])
        for a in view["attempts"]
    ]
    return Told(view["number"], view["name"], view["outcome"], view["exit_status"], tuple(tries), view["reason"])
