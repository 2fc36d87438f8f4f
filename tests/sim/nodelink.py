"""The node's end of a connection: the real follower, outlet, frames and orders, in a process that may die.

Only the poll loop and the pipes to clerks of runner/link.py are not here; tests with real processes are about those.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from afield.runner import folder, orders, verbs, wire
from afield.runner.effects import Sleep
from afield.runner.follow import Follower
from afield.runner.link import SILENCE_S
from afield.runner.outlet import Outlet
from afield.runner.refusal import trouble
from tests.sim.machine import Exchange, Machine, StartKeeper
from tests.sim.process import Process
from tests.sim.wires import WORLD, Wire

if TYPE_CHECKING:
    from tests.sim.world import World

TURNS = 4
START_S = 10.0
SLOW = ("launch", "seal", "go", "stop", "ack", "probe", "keep.take", "data.ready")


class Kernel:
    """News of folders, as inotify.Inotify gives them."""

    def __init__(self, link: NodeLink) -> None:
        self.descriptor = 7
        self._link = link
        self._disk = link.machine.disk
        self._numbers: dict[str, int] = {}
        self._news: list[tuple[int, int, str]] = []
        self.count = 0

    def start(self) -> bool:
        """There is one."""
        return True

    def add(self, path: str) -> int | None:
        """Hear of a folder."""
        if path not in self._disk.seen:
            return None
        if path not in self._numbers:
            self.count += 1
            self._numbers[path] = self.count
            self._disk.ears.setdefault(path, []).append(self._heard)
        return self._numbers[path]

    def remove(self, number: int) -> None:
        """Hear no more of it."""
        for path in [p for p, n in self._numbers.items() if n == number]:
            del self._numbers[path]
            if self._heard in self._disk.ears.get(path, ()):
                self._disk.ears[path].remove(self._heard)

    def close(self) -> None:
        """The link is gone."""
        for number in list(self._numbers.values()):
            self.remove(number)

    def read(self) -> list[tuple[int, int, str]]:
        """What happened."""
        news, self._news = self._news, []
        return news

    def _heard(self, path: str, mask: int, name: str) -> None:
        self._news.append((self._numbers[path], mask, name))
        if len(self._news) == 1:
            self._link.soon(self._link.news)


class Order:
    """A request in a clerk's hands, as runner/verbs.py sees it."""

    def __init__(self, machine: Machine, clerk: Process, head: dict[str, Any]) -> None:
        self.head = head
        self.reply: dict[str, Any] = {}
        self._machine = machine
        self._clerk = clerk

    def cancel(self, _now: float) -> None:
        """Nobody wants the answer."""
        self._machine.exit(self._clerk, None, 9)


class Verbs(verbs.Verbs):
    """The real table of verbs, with the link's own clerks."""

    def __init__(self, link: NodeLink) -> None:
        super().__init__(link)
        self.link = link
        self.clerks = link  # type: ignore[assignment]

    def read_facts(self, attempt: str) -> Any:
        """From the simulated disk."""
        return self.link.facts(attempt)


class NodeLink:
    """One link process."""

    def __init__(self, world: World, machine: Machine, digest: str) -> None:
        self.world = world
        self.machine = machine
        self.wire: Wire
        self.digest = digest
        self.process = machine.fork(machine.init, "link")
        self.process.when_gone = self._gone
        self.outlet = Outlet(-1, self._writev)
        self._decoder = wire.Decoder()
        self._kernel = Kernel(self)
        self._ear: Any = None
        self.follower = Follower(self, machine.paths.runs, self.facts, machine.disk, self._kernel)
        self.running: dict[int, Order] = {}
        self.paths = machine.paths
        self.verbs = Verbs(self)
        self._heard = self.now()
        self._timer: Any = None
        self.soon(self._greet)

    def soon(self, call: Any) -> None:
        """A moment later, if the link lives then."""
        self.machine.scheduler.after(self.world.moment(), self.process, call)

    # what the follower asks of a link

    def now(self) -> float:
        """Monotonic seconds."""
        return self.machine.mono()

    def listen(self, descriptor: int, events: int, ear: Any) -> None:
        """The follower's ear."""
        self._ear = ear

    # bytes

    def _writev(self, _: int, parts: list[Any]) -> int:
        if self.world.dice.random() < self.world.faults.pieces:  # the other side takes nothing just now
            self.soon(self._turn)
            raise BlockingIOError
        data = b"".join(bytes(p) for p in parts)
        self.wire.down.send(data)
        return len(data)

    def _greet(self) -> None:
        self.outlet.send(dict(self.machine.world.hello(self.machine, self.digest), on="hello"))
        self._turn()

    def heard(self, data: bytes) -> None:
        """Bytes from the controller."""
        if self.process.dead:
            return
        if self.process.paused:
            self.machine.scheduler.soon(self.process, self.heard, data)
            return
        self._heard = self.now()
        for head, _ in self._decoder.feed(data):
            self._serve(head)
            if head["do"] in SLOW and self.world.dice.random() < self.world.faults.twice:
                self.world.count("request twice")
                self.machine.scheduler.after(self.world.late(), WORLD, self._repeat, head)
        self._turn()

    def left(self) -> None:
        """The controller's end is gone."""
        if not self.process.dead:
            self.machine.exit(self.process, 0, None)

    def news(self) -> None:
        """The kernel has news for the follower."""
        if self._ear is not None:
            self._ear(1)
        self._turn()

    def _turn(self) -> None:
        now = self.now()
        self.follower.tick(now)
        if self.outlet.waiting:
            self.outlet.flush()
        if now >= self._heard + SILENCE_S:
            self.machine.exit(self.process, 0, None)
            return
        due = self.follower.due()
        until = min(self._heard + SILENCE_S, self._heard + SILENCE_S if due is None else due)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.machine.scheduler.after(max(0.001, until - now + 0.001), self.process, self._turn)

    # requests

    def _serve(self, head: dict[str, Any]) -> None:
        if self.world.story is not None and head["do"] not in ("ping", "probe"):
            self.world.story.request(self.machine, self.process.pid, head)
        try:
            reply = self.verbs.answer(head, b"")
        except Exception as error:  # noqa: BLE001 as in runner/link.py
            reply = trouble(error)
        if reply is not None:
            self.outlet.send(dict(reply, re=head["id"]))

    def facts(self, attempt: str) -> Any:
        """What the node says of an attempt now."""
        return self.machine.now(self.process, folder.facts(self.paths, attempt))

    def give(self, number: int, head: dict[str, Any], last: bool = False) -> Order:
        """A clerk for one slow request."""
        clerk = self.machine.fork(self.process, "clerk")
        clerk.attempt = _attempt(head)
        clerk.when_gone = lambda process: self._finished(head, process)
        self.machine.start(clerk, self._work(head))
        if self.world.dice.random() < self.world.faults.late:
            self.world.count("late clerk")
            self.world.pause(clerk, self.world.late())
        return Order(self.machine, clerk, head)

    def _repeat(self, head: dict[str, Any]) -> None:
        """The same order again, as a controller gives it that did not hear the answer; nobody hears this one."""
        if self.machine.up:
            clerk = self.machine.fork(self.machine.init, "clerk")
            clerk.attempt = _attempt(head)
            self.machine.start(clerk, self._work(head))

    def _work(self, head: dict[str, Any]) -> Generator[Any, Any, Any]:
        paths, verb = self.machine.paths, head["do"]
        if verb == "probe":
            return self.world.probe(self.machine)
        if verb == "launch":
            reply = yield from orders.launch(paths, head["spec"], None, self._ask)
            if head.get("watch") is not None:
                reply["facts"] = yield from folder.facts(paths, orders.name(head["spec"]))
            return reply
        if verb == "seal":
            reason = head.get("reason") or "sealed by the controller"
            return {"facts": (yield from folder.seal(paths, head["attempt"], reason, head.get("by") or "controller"))}
        if verb == "go":
            return {"facts": (yield from orders.go(paths, head["attempt"], head["variables"], self._ask))}
        if verb == "stop":
            return {"facts": (yield from orders.stop(paths, head, self._ask))}
        if verb == "keep.take":
            return {"state": "taken"}  # simulated nodes hold no data
        if verb == "data.ready":
            return {"path": "", "entries": []}
        if verb == "tidy":
            return {}  # what it does to folders strikes as a fault of its own, sooner than after a week
        yield from folder.write_ack(paths, head["attempt"])
        return {}

    def _ask(self, head: dict[str, Any]) -> Generator[Any, Any, Any]:
        """One request to the keeper, as runner/door.py asks: one that went away is started again."""
        yield from self._connected()
        for turn in range(TURNS):
            reply = yield Exchange(self.digest, head)
            if reply:
                return reply
            if turn < TURNS - 1:
                yield Sleep(0.05 * turn)
                yield from self._connected()
        raise OSError("the keeper closed the connection")

    def _connected(self) -> Generator[Any, Any, None]:
        if (yield Exchange(self.digest, None)):
            return
        yield StartKeeper(self.digest)
        for _ in range(int(START_S / 0.05)):
            if (yield Exchange(self.digest, None)):
                return
            yield Sleep(0.05)
        raise OSError("no keeper came up within 10 s")

    def _finished(self, head: dict[str, Any], clerk: Process) -> None:
        if self.process.dead:
            return
        value = clerk.answer
        if clerk.signal is not None:
            value = {"error": {"code": "interrupted", "what": "the request was interrupted on the node", "why": "9"}}
        elif isinstance(value, Exception):
            value = trouble(value)
        self.machine.scheduler.after(self.world.moment(), self.process, self._reply, head, value)

    def _reply(self, head: dict[str, Any], value: dict[str, Any]) -> None:
        """The clerk's answer came through its pipe; the follower may have said more meanwhile."""
        order = self.running.pop(head["id"], None)
        self.outlet.send(dict(value, re=head["id"]))
        if order is not None:
            order.reply = value
            self.verbs.finished(order)
        self._turn()

    def _gone(self, _: Process) -> None:
        self._kernel.close()
        self.wire.down.close()


def _attempt(head: dict[str, Any]) -> str:
    return str(head["attempt"]) if "attempt" in head else str(orders.name(head["spec"])) if "spec" in head else ""
