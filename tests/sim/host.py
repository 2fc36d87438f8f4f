"""Where the controller lives: the real one, on a loop of virtual time, killed and started again over one store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afield.backends.port import Abilities, Found
from afield.controller.core import Controller
from afield.controller.submit import Submission
from afield.errors import AfieldError, Unreachable
from afield.model.event import Record
from afield.model.node import Node
from afield.model.ports import Ports
from afield.model.request import Request
from afield.store.memory import MemoryStore
from afield.store.output import Mirror
from afield.transport.link import Link
from tests.sim.loop import VirtualLoop
from tests.sim.nodelink import NodeLink
from tests.sim.wires import WORLD, Carrier, Sock, Wire

if TYPE_CHECKING:
    from tests.sim.world import World

EPOCH = 1_700_000_000.0


class Clock:
    """Virtual time for the controller."""

    def __init__(self, world: World) -> None:
        self._world = world

    def wall(self) -> float:
        """UTC seconds."""
        return EPOCH + self._world.scheduler.now

    def mono(self) -> float:
        """Seconds that only grow."""
        return self._world.scheduler.now


class Chance:
    """The seed's dice for the controller."""

    def __init__(self, world: World) -> None:
        self._dice = world.dice

    def between(self, low: float, high: float) -> float:
        """As random.uniform."""
        return self._dice.uniform(low, high)

    def token(self) -> str:
        """32 hex digits."""
        return f"{self._dice.getrandbits(128):032x}"


class Watched(Controller):
    """The controller, with the world's invariants checked after every commit."""

    sim: World

    def _committed(self, records: Sequence[Record]) -> None:
        self.sim.committed(records)
        try:
            self.world.check()
        except AfieldError as error:
            self.sim.wrong(f"world.check: {error.what}")
        super()._committed(records)


class Backend:
    """Simulated machines as nodes."""

    abilities = Abilities()

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self._world = world

    async def observe(self) -> list[Found]:
        """Nodes are added by hand."""
        return []

    async def acquire(self, request: Request, key: str) -> None:
        """Never asked."""

    async def release(self, slice: str) -> None:
        """Never asked."""

    def transport(self, node: Node, agent: str = "") -> Transport:
        """The way to one machine."""
        return Transport(self._world, str(node.name))


class Transport:
    """Opens links, or not."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world

    async def open(self, store: str) -> Link:
        """As transport.start.start does, over a simulated connection."""
        world, machine = self._world, self._world.machines[self.name]
        await asyncio.sleep(0.02 + world.latency())
        if not machine.up or self.name in world.unreachable:
            await asyncio.sleep(world.dice.choice((0.01, 1.0, 10.0)))
            raise Unreachable(f"{self.name} does not answer")
        loop = world.host.loop
        sock = Sock(world.dice.choice((1 << 20, 1 << 20, 100)))
        carrier = Carrier(loop, sock)
        end = NodeLink(world, machine, world.digest)
        wire = end.wire = Wire(world, sock, end.heard, end.left)
        world.wires.append((self.name, wire, end))
        link = Link(self.name, carrier)  # type: ignore[arg-type]
        try:
            await link.greeted()
        except BaseException:
            await carrier.close()
            raise
        return link

    def shell_argv(self, script: str = "") -> list[str]:
        """Never asked."""
        return []

    def login_argv(self) -> list[str] | None:
        """Never asked."""
        return None


class Host:
    """The controller's machine: its store, its mirror, one controller at a time."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self.store = MemoryStore(world.store_id)
        self.loop: VirtualLoop
        self.mirror: Mirror
        self.controller: Watched | None = None
        self.lives = 0

    def start(self) -> None:
        """A fresh controller over the same store."""
        world = self._world
        self.lives += 1
        self.loop = VirtualLoop(world.scheduler, world.moment)  # type: ignore[abstract]
        self.loop.enter()
        world.shots.load(self.loop)
        self.store = self.store.reopened()
        self.mirror = Mirror(self._folder)
        backends: dict[str, Any] = {name: Backend(name, world) for name in ("local", "ssh")}
        ports = Ports(Clock(world), Chance(world))
        self.controller = Watched(self.store, self.mirror, self._folder, backends, ports)
        self.controller.sim = world
        self.loop.create_task(self.controller.start())

    def kill(self) -> None:
        """It is gone; what it held open is closed by the kernel."""
        if self.controller is None:
            return
        world = self._world
        self.controller = None
        self.loop.kill()
        self.mirror.close()
        for _, wire, _ in world.wires:
            wire.up.close()
        if world.story is not None:
            world.story.line("controller", "KILLED")
        world.scheduler.after(world.dice.choice((0.05, 0.5, 3.0, 20.0)), WORLD, self.start)

    def ask(self, work: Callable[[Controller], Coroutine[Any, Any, Any]], then: Callable[[Any], None]) -> bool:
        """Has the controller do something for a user; `then` gets the value or the AfieldError, if ever it answers."""
        if self.controller is None:
            return False

        async def run(controller: Controller) -> None:
            try:
                value = await work(controller)
            except AfieldError as error:
                value = error
            then(value)

        self.loop.create_task(run(self.controller))
        return True

    def end(self) -> None:
        """The simulation is over."""
        if self.controller is not None:
            self.controller = None
            self.loop.kill()
            self.mirror.close()


def submission(plan: Any) -> Submission:
    """What a user submits."""
    return Submission(
        key=plan.key,
        name=plan.key,
        user="ann",
        task=plan.task,
        request=plan.request,
        policy=plan.policy,
        nodes=plan.nodes,
    )
