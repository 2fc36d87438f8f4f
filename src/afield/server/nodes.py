"""What is asked about nodes, and of nodes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from afield.errors import UsageError
from afield.server import answers, routes, schema
from afield.server.answer import FRAMES, Json, Stream, frames
from afield.server.desk import Desk
from afield.server.forwards import ForwardBody
from afield.server.jobs import LEAVING, SCHEMA, STREAM


class NodeRoutes:
    """The fleet, and commands on it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self, route: routes.Route) -> APIRouter:
        """The addresses."""
        router = routes.router(route, "/v1", "nodes")
        add = router.add_api_route
        add("/nodes", self.nodes, methods=["GET"], response_model=answers.Nodes)
        add("/nodes", self.add, methods=["POST"], response_model=answers.NodeView)
        add("/nodes/probe", self.probe_all, methods=["POST"], response_model=answers.ProbedNodes)
        add("/nodes/{name}", self.node, methods=["GET"], response_model=answers.NodeView)
        add("/nodes/{name}", self.set, methods=["PATCH"], response_model=answers.NodeView)
        add("/nodes/{name}", self.remove, methods=["DELETE"], response_model=answers.NodeView)
        add("/nodes/{name}/probe", self.probe, methods=["POST"], response_model=answers.NodeView)
        add("/nodes/{name}/clean", self.clean, methods=["POST"], response_model=dict[str, Any])
        add("/nodes/{name}/shell", self.shell, methods=["GET"], response_model=answers.Shell)
        add("/exec", self.execute, methods=["POST"], response_class=Response, responses=STREAM)
        add("/forward", self.forward, methods=["POST"], response_class=Response, responses=STREAM)
        return router

    async def nodes(self) -> Response:
        """All nodes."""
        return Json({"schema": SCHEMA, "nodes": self._desk.controller.fleet.all()})

    async def probe_all(self, body: schema.ProbeBody) -> Response:
        """Ask nodes for their facts now, all at once; one that does not answer has the reason in its `probe`."""
        return Json({"schema": SCHEMA, "nodes": await self._desk.controller.fleet.probe_all(body.nodes)})

    async def add(self, body: dict[str, Any]) -> Response:
        """Add a node after reaching it; the fields are those of the backend, `target` for ssh."""
        return Json(await self._desk.controller.fleet.add(body))

    async def node(self, name: str) -> Response:
        """One node."""
        return Json(self._desk.controller.fleet.view(name))

    async def set(self, name: str, body: dict[str, Any]) -> Response:
        """Change what a person may say of a node."""
        return Json(await self._desk.controller.fleet.set(name, body))

    async def remove(self, name: str, force: bool = False) -> Response:
        """Forget a node; refused while a job runs on it, unless forced."""
        return Json(await self._desk.controller.fleet.remove(name, force=force))

    async def probe(self, name: str) -> Response:
        """Ask a node for its facts now."""
        return Json(await self._desk.controller.fleet.probe(name))

    async def clean(self, name: str, body: schema.CleanBody) -> Response:
        """Remove what is kept on a node for speed, or every trace; what was removed; without `act` what is there."""
        done = await self._desk.controller.fleet.clean(name, every=body.every, force=body.force, act=body.act)
        return Json({"schema": SCHEMA, "node": name, **done})

    async def shell(self, name: str) -> Response:
        """The commands for the caller's own terminal."""
        return Json(self._desk.controller.fleet.shell(name))

    async def execute(self, body: schema.ExecuteBody) -> Response:
        """Run a command on nodes or beside a job's processes; output and exits are frames. It ends with its caller."""
        if any("\0" in text for text in [*body.argv, *body.variables, *body.variables.values()]):
            raise UsageError("arguments and variables cannot hold a NUL byte")
        beside = self._desk.controller.beside
        if body.job is not None:
            source = beside.in_job(body.job, body.workers, body.argv, body.variables)
        else:
            source = beside.on_nodes(body.nodes, body.argv, body.variables)
        return Stream(frames(source), FRAMES)

    async def forward(self, body: ForwardBody) -> Response:
        """Hold forwards to a node for as long as the frames are read; they say where it is reached, and what became."""
        if (body.node is None) == (body.job is None):
            raise UsageError("a forward leads to a node or to a job", why="one of the two has to be named")
        source = self._desk.controller.forwards.hold(body.model_dump())
        return Stream(frames(source), FRAMES, self._desk.leaving, LEAVING)
