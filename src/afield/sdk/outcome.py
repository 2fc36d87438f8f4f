"""What a function gave in its job: the value, or the exception, from the result file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

from afield.errors import AfieldError, Fault, NotFound
from afield.sdk.client import Client

RESULT = "outputs/result"
FORMAT = 1
CALL = ("python3", "-m", "afield_call")


class RemoteError(AfieldError):
    """A function raised in its job; `traceback` is the text from there. It is the cause of the exception itself."""

    code = "remote-error"

    def __init__(self, what: str, traceback: str = "") -> None:
        super().__init__(what)
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.what}\n\n{self.traceback}" if self.traceback else self.what


Outcome = tuple[Any, Exception | None]


def outcome(client: Client, view: dict[str, Any], failed: Callable[[], Exception]) -> Outcome:
    """(value, None) or (None, exception) of a job that has ended; what it left is loaded with pickle.

    `failed` makes the exception of a job that left none. A function's exception is its own where it could be sent.
    Raises Unreachable when the node does not answer: the result is there still.
    """
    number = view["number"]
    if tuple(view["command"][:3]) != CALL:
        return None, NotFound(
            f"job {number} is no function",
            why="only a submitted function gives a value",
            hints=[f"afield pull {number}"],
        )
    if view["outcome"] not in ("succeeded", "failed"):
        return None, failed()
    try:
        line, _, data = client.file(number, RESULT).partition(b"\n")
    except NotFound as error:
        return None, failed() if view["outcome"] == "failed" else _nothing(number, error)
    head = json.loads(line)
    if head["kind"] == "value" and view["outcome"] == "failed":
        # The function gave something, and the job failed all the same: another process of it, or its way out.
        return None, failed()
    return _read(head, data)


def _nothing(number: int, error: NotFound) -> NotFound:
    return NotFound(
        f"job {number} left no result",
        why=f"{error.what}; it was removed there, or the function left by sys.exit(0)",
    )


def _read(head: dict[str, Any], data: bytes) -> Outcome:
    if head["format"] != FORMAT:
        return None, Fault(f"the result has format {head['format']}, this afield reads {FORMAT}")
    if head["kind"] == "unfit":
        said = head["error"]
        return None, AfieldError(said["what"], why=said["why"], hints=said["hints"], code=said["code"])
    try:
        value = pickle.loads(data) if data else None  # noqa: S301 the user's own function wrote it
    except Exception as error:  # noqa: BLE001 loading runs code of the user's classes
        return None, _unreadable(head, error)
    if head["kind"] == "value":
        return value, None
    cause = RemoteError(f"{head['type']}: {head['text']}", head["traceback"])
    if not isinstance(value, Exception):
        return None, cause
    value.__cause__ = cause
    return None, value


def _unreadable(head: dict[str, Any], error: Exception) -> AfieldError:
    """What came cannot be loaded here: the class of a value, or of an exception, is not known here."""
    if head["kind"] == "error":
        return RemoteError(f"{head['type']}: {head['text']}", head["traceback"])
    return AfieldError(
        "what the function gave cannot be loaded here",
        why=f"{type(error).__name__}: {error}",
        hints=["install the package that its class is from", "give back plain values"],
        code="result-unreadable",
    )
