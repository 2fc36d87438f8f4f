"""What is said about secrets. A value comes in and never goes out."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from afield.controller.views import iso
from afield.server import answers, routes, schema
from afield.server.answer import Json
from afield.server.desk import Desk
from afield.server.jobs import SCHEMA


class SecretRoutes:
    """The secrets of this user."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self, route: routes.Route) -> APIRouter:
        """The addresses."""
        router = routes.router(route, "/v1", "secrets")
        add = router.add_api_route
        add("/secrets", self.secrets, methods=["GET"], response_model=answers.SecretsView)
        add("/secrets/{name}", self.set, methods=["PUT"], response_model=answers.SecretsView)
        add("/secrets/{name}", self.remove, methods=["DELETE"], response_model=answers.SecretsView)
        return router

    async def secrets(self) -> Response:
        """The names, and when each was set."""
        found = self._desk.controller.secrets.listed()
        return Json({"schema": SCHEMA, "secrets": [{"name": name, "set_at": iso(at)} for name, at in found]})

    async def set(self, name: str, body: schema.SecretBody) -> Response:
        """Keep a value, in the place of one that is there."""
        self._desk.controller.secrets.set(name, body.value)
        return await self.secrets()

    async def remove(self, name: str) -> Response:
        """Forget a value."""
        self._desk.controller.secrets.remove(name)
        return await self.secrets()
