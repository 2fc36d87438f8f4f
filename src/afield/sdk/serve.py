"""Submissions of programs with a web page that need no code of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from afield.environment.detect import Found
from afield.environment.extra import add
from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Environment, EnvironmentKind, Task
from afield.sdk.client import submit_key

BOARD = ("python3", "-m", "afield_serve", "tensorboard")


def board(node: str, folder: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """TensorBoard for a folder of a node, as `Client.submit` takes it; `packages` are its plug-ins."""
    plain = Found(Environment(EnvironmentKind.PLAIN), "")
    environment = add(plain, ["tensorboard", *packages]).environment
    return {
        "key": submit_key(),
        "name": "tensorboard",
        "user": "",
        "task": asdict(Task(argv=(*BOARD, folder), environment=environment)),
        "request": asdict(Request()),
        "policy": str(Policy.PASS),
        "priority": 0,
        "nodes": [node],
    }
