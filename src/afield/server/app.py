"""The HTTP API as one ASGI application."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from afield.build import VERSION
from afield.errors import AfieldError, Fault, NotFound, UsageError
from afield.server import answers, routes, schema
from afield.server.answer import EVENTS, Json, Stream, failure, server_sent
from afield.server.data import DataRoutes
from afield.server.desk import Desk
from afield.server.guard import Guard
from afield.server.jobs import JobRoutes
from afield.server.nodes import NodeRoutes
from afield.server.secrets import SecretRoutes


class ServerRoutes:
    """The server itself: who it is, how it leaves, what happens in it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self, route: routes.Route) -> APIRouter:
        """The addresses."""
        router = routes.router(route, "/v1", "server")
        add = router.add_api_route
        add("/hello", self.hello, methods=["GET"], response_model=answers.Hello)
        add("/leave", self.leave, methods=["POST"], response_model=answers.Nothing)
        add("/overview", self.overview, methods=["GET"], response_model=answers.Overview)
        add("/names", self.names, methods=["GET"], response_model=answers.Names)
        add("/events", self.events, methods=["GET"], response_class=Response, responses=_EVENTS)
        return router

    async def hello(self) -> Response:
        """Who answers; asked without a token."""
        return Json(self._desk.hello())

    async def leave(self) -> Response:
        """Take no new requests, let the open ones end, and exit. No job is touched."""
        self._desk.leaving.set()
        return Json({})

    async def overview(self) -> Response:
        """Everything on one screen."""
        return Json(self._desk.controller.overview())

    async def names(self) -> Response:
        """The names that a shell may complete: cheap, asked at each press of a key."""
        controller = self._desk.controller
        return Json({**controller.names(), "secrets": [name for name, _ in controller.secrets.listed()]})

    async def events(
        self, since: schema.Offset = 0, last_event_id: Annotated[schema.Offset | None, Header()] = None
    ) -> Response:
        """The log after a cursor, then live, as server-sent events; `Last-Event-ID` is the newer cursor."""
        source = self._desk.controller.events(since if last_event_id is None else last_event_id)
        return Stream(server_sent(source), EVENTS, self._desk.leaving)


_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {EVENTS: {}}, "description": "events as they come"}}


class _Served(FastAPI):
    """Describes itself in full, if somebody asks."""

    def openapi(self) -> dict[str, Any]:
        """What `api` says of itself."""
        return api(Desk()).openapi()


def api(desk: Desk) -> FastAPI:
    """The API without its guard; `openapi()` describes it."""
    return _app(FastAPI, desk, APIRoute)


def guarded(desk: Desk) -> ASGIApp:
    """What uvicorn serves."""
    return Guard(_app(_Served, desk, routes.Brief), desk)


def _app(kind: type[FastAPI], desk: Desk, route: routes.Route) -> FastAPI:
    app = kind(title="afield", version=VERSION, openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    for part in (ServerRoutes(desk), JobRoutes(desk), NodeRoutes(desk), DataRoutes(desk), SecretRoutes(desk)):
        # Included as a router, each route would be made a second time, at the first request.
        app.router.routes.extend(part.router(route).routes)
    app.add_exception_handler(AfieldError, _told)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _no_address)
    app.add_exception_handler(Exception, _fault)
    return app


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, AfieldError)
    return failure(error)


async def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, *path = (str(part) for part in first["loc"])
    what = f"the {where} is not right at {'.'.join(path)}" if path else f"the {where} cannot be read"
    return failure(UsageError(what, why=str(first["msg"])))


async def _no_address(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return failure(NotFound(f"there is nothing at {asked}"))
    return failure(UsageError(f"{asked} cannot be done", why=str(error.detail)), error.status_code)


async def _fault(_: Request, error: Exception) -> Response:
    why = f"{type(error).__name__}: {error}"
    return failure(Fault("afield met a bug of its own", why=why, hints=["the end of server.log has the whole story"]))
