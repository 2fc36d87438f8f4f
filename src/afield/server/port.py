"""What the server asks of a controller. The controller knows no HTTP; the server knows no more of it than this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from afield.model.policy import Policy
from afield.model.request import Request
from afield.model.task import Task

View = dict[str, Any]
Frame = tuple[dict[str, Any], bytes]


@dataclass(frozen=True, slots=True)
class Submission:
    """One job as it is asked for. `key` is made before the first try, so that a repeated submission is one job."""

    key: str
    task: Task
    name: str = ""
    user: str = ""
    request: Request = field(default_factory=Request)
    policy: Policy = Policy.PASS
    priority: int = 0
    nodes: tuple[str, ...] = ()


class ControllerPort(Protocol):
    """A controller as the server sees it. Everything raises AfieldError."""

    store_id: str

    @property
    def idle_since(self) -> float | None:
        """None while there is work."""

    async def start(self) -> None:
        """Open the store and take up what was left."""

    async def close(self) -> None:
        """Let go of everything; no job is touched."""

    async def submit(self, submissions: Sequence[Submission], *, dry_run: bool = False) -> list[View]:
        """Job views in the order asked; the same key gives the same job; nothing is stored on an error."""

    async def stop_job(self, number: int, by: str) -> View:
        """The job's view once the goal is recorded."""

    async def release_job(self, number: int, by: str) -> View:
        """The job's view once it is no longer held."""

    def jobs(self, *, all: bool = False, limit: int = 0) -> list[View]:  # noqa: A002 the word of the API
        """Views of the unfinished jobs, or of all; `limit` 0 is no limit."""

    def job(self, number: int) -> View:
        """One job's view."""

    def why(self, number: int) -> View:
        """Why it waits: what binds, who holds it, what would start it."""

    async def add_node(self, spec: dict[str, Any]) -> View:
        """The view of a node that now belongs to the fleet."""

    async def set_node(self, name: str, changes: dict[str, Any]) -> View:
        """The view of a node after the changes."""

    async def remove_node(self, name: str, force: bool) -> View:
        """The view of the node that is no longer in the fleet."""

    async def probe_node(self, name: str) -> View:
        """The view of a node after asking it for its facts now."""

    def nodes(self) -> list[View]:
        """All nodes."""

    def node(self, name: str) -> View:
        """One node."""

    def follow(self, number: int, cursors: dict[str, int], *, follow: bool = True) -> AsyncIterator[Frame]:
        """News and output of a job from the cursors on."""

    def output(self, number: int, attempt: int | None, stream: str, start: int, length: int) -> bytes:
        """At most `length` mirrored bytes of a stream such as `p0/out`; None is the newest attempt; b"" at the end."""

    def execute(self, nodes: list[str] | None, argv: list[str], variables: dict[str, str]) -> AsyncIterator[Frame]:
        """One command on the named nodes, or on all."""

    def results(self, number: int, have: Mapping[str, Sequence[int]]) -> AsyncIterator[Frame]:
        """The files of a job's outputs folder that `have` (path to size and mtime in ns) does not match."""

    def events(self, since: int) -> AsyncIterator[dict[str, Any]]:
        """The log after a cursor, then live."""

    def shell(self, name: str, auth_sock: str) -> View:
        """The command that gives a person a login shell on a node."""

    def overview(self) -> View:
        """Everything on one screen."""
