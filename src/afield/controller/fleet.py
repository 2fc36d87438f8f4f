"""All nodes that the controller knows: their sessions, how they come and go."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Any, Protocol

from afield.backends.port import Backend
from afield.controller import probing, views
from afield.controller.session import Listener, Session
from afield.controller.spec import peer_address
from afield.errors import AfieldError, Conflict, NotAllowed, UsageError
from afield.model.event import Event, NodeAdded, NodeRemoved, NodeSet
from afield.model.ids import NodeName
from afield.model.node import Node
from afield.model.ports import Ports
from afield.model.request import Request, parse_devices
from afield.model.world import World
from afield.plan.free import allowed
from afield.transport.port import Transport

log = logging.getLogger(__name__)

LOCAL = NodeName("local")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


FRESH_S = 10.0
"""Facts that a placement by amounts may rest on without asking again."""

FRESHEN_S = 5.0
"""How long a submission waits for a node to say how it is."""


class Owner(Listener, Protocol):
    """Who keeps the fleet: hears its sessions and records what changes."""

    async def record(self, *events: Event) -> None:
        """Append events."""


class Fleet:
    """Sessions by node. `agent` of a node is the SSH_AUTH_SOCK that its last caller brought."""

    def __init__(self, store: str, world: World, backends: dict[str, Backend], owner: Owner, ports: Ports) -> None:
        self._store = store
        self._world = world
        self._backends = backends
        self._owner = owner
        self._ports = ports
        self._sessions: dict[NodeName, Session] = {}
        self._agent = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def elastic(self) -> frozenset[str]:
        """The backends that make slices when asked."""
        return frozenset(name for name, backend in self._backends.items() if backend.abilities.elastic)

    async def start(self) -> None:
        """Make sure that `local` exists and begin to connect to every node."""
        if LOCAL not in self._world.nodes:
            await self._owner.record(NodeAdded(LOCAL, "local"))
        for node in self._world.nodes.values():
            self._open(node)

    async def close(self) -> None:
        """Let all links go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(s.close() for s in self._sessions.values()))

    def bring_agent(self, agent: str) -> None:
        """Use the caller's ssh agent for connections from now on."""
        self._agent = agent or self._agent

    def find(self, name: NodeName) -> Session | None:
        """The session of a node; None when the node was removed."""
        return self._sessions.get(name)

    def address(self, name: NodeName) -> str:
        """What peers call a node."""
        return peer_address(self._node(name))

    # nodes come and go

    async def add(self, spec: dict[str, Any]) -> views.View:
        """Add a node after reaching it. Raises Conflict for a taken name or machine, Unreachable and its kin."""
        target = str(spec.get("target") or "")
        name = NodeName(str(spec.get("name") or target.rpartition("@")[2]))
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot name a node", why="letters, digits, dots, dashes and underscores name nodes"
            )
        if name in self._world.nodes:
            raise Conflict(
                f"node {name} exists already", hints=[f"afield node rm {name}", "afield node add --name OTHER …"]
            )
        declared = parse_devices(str(spec["devices"])) if spec.get("devices") else ()
        node = Node(name=name, backend="ssh", target=target)
        session = Session(name, self._store, lambda: self._transport(node), self._owner, self._ports)
        session.start()
        try:
            await session.link_now()
            self._refuse_twin(name, session)
            if name in self._sessions:
                raise Conflict(f"node {name} was added meanwhile")
        except BaseException:
            await session.close()
            raise
        self._sessions[name] = session
        address = str(spec.get("address") or _host(target))
        await self._owner.record(
            NodeAdded(name, "ssh", target=target, address=address), NodeSet(name, declared=declared)
        )
        await session.probe()
        return self.view(name)

    async def set(self, name: str, changes: dict[str, Any]) -> views.View:
        """Change what a person may say of a node: devices, address, drained."""
        node = self._node(name)
        unknown = set(changes) - {"devices", "address", "drained"}
        if unknown:
            raise UsageError(
                f"a node has no {', '.join(sorted(unknown))}", hints=["devices, address and drained can be set"]
            )
        devices = changes.get("devices")
        declared = None if devices is None else parse_devices(str(devices)) if devices else ()
        drained = _yes(changes["drained"]) if changes.get("drained") is not None else None
        await self._owner.record(
            NodeSet(
                node.name,
                declared=declared,
                address=None if changes.get("address") is None else str(changes["address"]),
                drained=drained,
            )
        )
        return self.view(name)

    async def remove(self, name: str, *, force: bool) -> views.View:
        """Forget a node. Raises NotAllowed while a job runs on it, unless forced."""
        node = self._node(name)
        if node.name == LOCAL:
            raise NotAllowed("the node local is this machine and stays", hints=["afield node set local drained=true"])
        view = self.view(name)
        if view["jobs"] and not force:
            jobs = " ".join(str(j) for j in view["jobs"])
            raise NotAllowed(
                f"node {name} runs jobs {jobs}",
                why="forgetting it would lose them",
                hints=[f"afield stop {jobs}", f"afield node set {name} drained=true   no new jobs"],
            )
        await self._owner.record(NodeRemoved(node.name))
        session = self._sessions.pop(node.name, None)
        if session is not None:
            await session.close()
        return view

    async def clean(self, name: str, *, every: bool, force: bool, act: bool) -> dict[str, Any]:
        """Remove what is kept on a node for speed, or with `every` all of ours, and then forget it.

        Without `act` nothing is touched: what is there. Raises NotAllowed while a job runs there, and before results
        that are not home yet are lost, unless forced.
        """
        node = self._node(name)
        if every and node.name == LOCAL:
            raise NotAllowed("the node local is this machine and stays", hints=["afield node clean local"])
        self._refuse_busy(name, act or every)
        if act and not node.drained:
            # No job may come while its files are looked through and removed.
            await self._owner.record(NodeSet(node.name, drained=True))
            try:
                return await self._cleaned(node.name, every=every, force=force, act=act)
            finally:
                if node.name in self._world.nodes:
                    await self._owner.record(NodeSet(node.name, drained=False))
        return await self._cleaned(node.name, every=every, force=force, act=act)

    async def _cleaned(self, name: NodeName, *, every: bool, force: bool, act: bool) -> dict[str, Any]:
        session = self.session(name)
        await session.link_now()
        found, _ = await session.call("leave", act=False, every=every)
        self._refuse_busy(name, act or every)
        if every and found["waiting"] and not force:
            jobs_there = " ".join(sorted({attempt.rpartition(".")[0] for attempt in found["waiting"]}, key=int))
            raise NotAllowed(
                f"not all of jobs {jobs_there} is home from {name}",
                why="its last output or results are only there",
                hints=["wait a moment and ask again", f"afield node clean {name} --all --force   they are lost"],
            )
        if not act:
            return found
        done, _ = await session.call("leave", act=True, every=every)
        if every:
            await self.remove(name, force=force)
        return done

    def _refuse_busy(self, name: str, touches: bool) -> None:
        if touches and (jobs := self.view(name)["jobs"]):
            numbers = " ".join(str(j) for j in jobs)
            raise NotAllowed(f"node {name} runs jobs {numbers}", hints=[f"afield stop {numbers}"])

    async def probe(self, name: str) -> views.View:
        """Ask a node for its facts now."""
        await self.session(name).probe()
        return self.view(name)

    async def probe_all(self, names: list[str] | None) -> list[views.View]:
        """Ask the named nodes, or all, for their facts now and at once; the views, each with its `probe`."""
        chosen = [self._node(n) for n in names] if names is not None else list(self._world.nodes.values())
        hosts = await probing.hosts()
        asked = {n.name: asyncio.create_task(probing.ask(self.session(n.name), hosts)) for n in chosen}
        told = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
        return [{**self.view(name), "probe": told[name]} for name in sorted(told) if name in self._world.nodes]

    async def freshen(self, filters: Iterable[tuple[str, ...]], within_s: float = FRESH_S) -> None:
        """Ask the nodes that these filters allow again, where what is known of them is older; those that answer."""
        now = self._ports.clock.wall()
        wanted = {
            node.name
            for words in filters
            for node in self._world.nodes.values()
            if allowed(words, node) and node.seen_at is not None and now - node.seen_at > within_s
        }
        asked = [self._sessions[name] for name in wanted if name in self._sessions and self._sessions[name].up]
        await asyncio.gather(*(self._asked_again(session) for session in asked))

    async def _asked_again(self, session: Session) -> None:
        try:
            await asyncio.wait_for(session.probe(), FRESHEN_S)
        except (AfieldError, TimeoutError) as error:
            log.info("node %s was not asked again: %s", session.name, error)

    def view(self, name: str) -> views.View:
        """One node. Raises NotFound."""
        return self._view(self._node(name))

    def all(self) -> list[views.View]:
        """All nodes by name."""
        return [self._view(n) for _, n in sorted(self._world.nodes.items())]

    def shell(self, name: str, script: str = "") -> dict[str, Any]:
        """How the caller's own terminal gets a shell (or runs a script that becomes one) or a login there."""
        transport = self._transport(self._node(name))
        return {"argv": transport.shell_argv(script), "login": transport.login_argv()}

    def reach(self, name: NodeName) -> dict[str, Any] | None:
        """How rsync reaches a node: `shell` words and `host`; None where it cannot."""
        way = self._transport(self._node(name)).copy_argv()
        return None if way is None else {"shell": way[0], "host": way[1]}

    # elastic backends

    def acquire(self, backend: str, request: Request, key: str) -> None:
        """Ask a backend for a slice, in the background; asking again for the same key makes no second one."""
        self._spawn(self._acquire(backend, request, key))

    def release(self, slice: str) -> None:
        """Give a slice back, in the background."""
        self._spawn(self._release(slice))

    async def _acquire(self, backend: str, request: Request, key: str) -> None:
        await self._backends[backend].acquire(request, key)
        await self.observe(backend)

    async def _release(self, slice: str) -> None:
        owner = next((n.backend for n in self._world.nodes.values() if n.slice == slice), None)
        if owner is not None:
            await self._backends[owner].release(slice)
            await self.observe(owner)

    async def observe(self, backend: str) -> None:
        """Take in the nodes that a backend has now."""
        found = {NodeName(f.name): f for f in await self._backends[backend].observe()}
        for name in [n.name for n in self._world.nodes.values() if n.backend == backend and n.name not in found]:
            await self.remove(name, force=True)
        for name, f in found.items():
            if name not in self._world.nodes:
                await self._owner.record(NodeAdded(name, backend, f.target, f.address, f.slice, f.preemptible))
                self._open(self._world.nodes[name])

    # inside

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, node: Node) -> None:
        if node.backend not in self._backends:
            log.error("node %s: there is no backend %s", node.name, node.backend)
            return
        session = Session(node.name, self._store, lambda: self._transport(node), self._owner, self._ports)
        self._sessions[node.name] = session
        session.start()

    def _transport(self, node: Node) -> Transport:
        return self._backends[node.backend].transport(node, self._agent)

    def _view(self, node: Node) -> views.View:
        session = self._sessions.get(node.name)
        return (
            views.with_facts(views.node_view(node, self._world), session.facts, session.asked_at)
            if session
            else (views.node_view(node, self._world))
        )

    def _node(self, name: str) -> Node:
        node = self._world.nodes.get(NodeName(name))
        if node is None:
            raise views.unknown_node(name, [str(n) for n in self._world.nodes])
        return node

    def session(self, name: str) -> Session:
        """The session of a node. Raises NotFound."""
        return self._sessions[self._node(name).name]

    def _refuse_twin(self, name: NodeName, session: Session) -> None:
        mine = (session.hello.get("machine"), session.hello.get("root"))
        for other in self._sessions.values():
            facts = other.hello or dict(self._world.nodes[other.name].facts)
            if other.name != name and (facts.get("machine"), facts.get("root")) == mine:
                raise Conflict(
                    f"{name} is the same machine and folder as node {other.name}",
                    why=f"both are {mine[1]} on machine {str(mine[0])[:12]}",
                    hints=[f"afield run -n {other.name} …"],
                )


def _yes(value: Any) -> bool:
    """What a person says of something that is so or not. Raises UsageError."""
    word = str(value).lower()
    if word not in ("1", "true", "yes", "0", "false", "no"):
        raise UsageError(f"drained is true or false, not {value!r}", hints=["drained=true", "drained=false"])
    return word in ("1", "true", "yes")


def _host(target: str) -> str:
    return target.rpartition("@")[2]
