"""How addresses become routes: with models of their answers to describe them, without them to serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from afield.server import answers
from afield.server.answer import Json

_FAILURES: dict[int | str, dict[str, Any]] = {key: {"model": answers.Failure} for key in ("4XX", "5XX")}

Route = type[APIRoute]


class Brief(APIRoute):
    """A route that knows nothing of its answers: they are JSON already, and models cost each start some 60 ms."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **{**options, "response_model": None, "responses": None})


def router(route: Route, prefix: str, tag: str) -> APIRouter:
    """Where addresses below a prefix are added, each as a `route`."""
    return APIRouter(prefix=prefix, tags=[tag], default_response_class=Json, route_class=route, responses=_FAILURES)
