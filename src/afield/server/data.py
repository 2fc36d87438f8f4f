"""What is asked about data: places, what lies there, files out and in."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response

from afield.errors import UsageError
from afield.runner import wire
from afield.server import answers, routes, schema
from afield.server.answer import FRAMES, Json, Stream, frames
from afield.server.desk import Desk
from afield.server.jobs import SCHEMA, STREAM
from afield.server.port import Frame


class DataRoutes:
    """Places of nodes and jobs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self, route: routes.Route) -> APIRouter:
        """The addresses."""
        router = routes.router(route, "/v1/data", "data")
        add = router.add_api_route
        add("/places", self.places, methods=["POST"], response_model=answers.Places)
        add("/list", self.listing, methods=["POST"], response_model=answers.Entries)
        add("/get", self.get, methods=["POST"], response_class=Response, responses=STREAM)
        add("/fetch", self.fetch, methods=["POST"], response_class=Response, responses=STREAM)
        add("/put", self.put, methods=["POST"], response_model=answers.Taken)
        return router

    async def places(self, body: schema.PlaceBody) -> Response:
        """What a place is on each node that it is on."""
        found = await self._desk.controller.data.places(body.model_dump(), self._desk.user)
        return Json({"schema": SCHEMA, "places": found})

    async def listing(self, body: schema.ListBody) -> Response:
        """What lies in a folder of a node."""
        entries = await self._desk.controller.data.listing(body.node, body.path, deep=body.deep)
        return Json({"schema": SCHEMA, "entries": entries})

    async def get(self, body: schema.GetBody) -> Response:
        """Files below a folder of a node, as frames."""
        return Stream(frames(self._desk.controller.data.get(body.node, body.path, body.files)), FRAMES)

    async def fetch(self, body: schema.FetchBody) -> Response:
        """Download on a node, as frames of progress; it ends with its caller, and is gone on from by the next."""
        source = self._desk.controller.data.fetch(body.node, body.folder, body.url, body.sha256)
        return Stream(frames(source), FRAMES)

    async def put(self, request: Request) -> Response:
        """Take files, links and folders, sent as frames behind one `to` with node and base, into a folder of a node."""
        if request.headers.get("content-type") != FRAMES:
            raise UsageError("the body must be frames", why=f"its content type is not {FRAMES}")
        items = _items(request)
        to, _ = await anext(items, ({}, b""))
        if to.get("on") != "to" or not isinstance(to.get("node"), str) or not isinstance(to.get("base"), str):
            raise UsageError("the body must begin with a frame `to`", why="it names node and base")
        count = await self._desk.controller.data.put(to["node"], to["base"], items)
        return Json({"items": count})


async def _items(request: Request) -> AsyncIterator[Frame]:
    decoder = wire.Decoder()
    try:
        async for piece in request.stream():
            for frame in decoder.feed(piece):
                yield frame
    except wire.WireError as error:
        raise UsageError("the body is not frames", why=str(error)) from error
