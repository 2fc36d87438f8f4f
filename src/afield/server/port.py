"""What the server asks of a controller. The controller knows no HTTP; the server knows no more of it than this."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from afield.controller.submit import Submission
from afield.model.event import Record

View = dict[str, Any]
Frame = tuple[dict[str, Any], bytes]


class FleetPort(Protocol):
    """The nodes of a controller as the server sees them. Everything raises AfieldError."""

    def bring_agent(self, agent: str) -> None:
        """Use this SSH_AUTH_SOCK for connections from now on; "" changes nothing."""

    async def add(self, spec: dict[str, Any]) -> View:
        """The view of a node that now belongs to the fleet."""

    async def set(self, name: str, changes: dict[str, Any]) -> View:
        """The view of a node after the changes."""

    async def remove(self, name: str, *, force: bool) -> View:
        """The view of the node that is no longer in the fleet."""

    async def clean(self, name: str, *, every: bool, force: bool, act: bool) -> dict[str, Any]:
        """What was removed on a node, or is there where `act` is off."""

    async def probe(self, name: str) -> View:
        """The view of a node after asking it for its facts now."""

    async def probe_all(self, names: list[str] | None) -> list[View]:
        """The views of nodes, None for all, after asking them at once; each has its `probe`."""

    def view(self, name: str) -> View:
        """One node."""

    def all(self) -> list[View]:
        """All nodes by name."""

    def shell(self, name: str) -> View:
        """The commands that give a person a shell on a node and a login to it."""


class BesidePort(Protocol):
    """Commands that run now, as the server sees them. Everything raises AfieldError."""

    def on_nodes(self, names: list[str] | None, argv: list[str], variables: dict[str, str]) -> AsyncIterator[Frame]:
        """One command on the named nodes, or on all."""

    def in_job(
        self, number: int, workers: list[int] | None, argv: list[str], variables: dict[str, str]
    ) -> AsyncIterator[Frame]:
        """One command beside the first process of each worker of a job, or of some."""

    async def shell(self, number: int, worker: int) -> View:
        """The commands that give a person a shell beside a worker's first process."""


class SecretsPort(Protocol):
    """Values that jobs get and nobody reads. Everything raises AfieldError."""

    def listed(self) -> list[tuple[str, float]]:
        """(name, when it was set in UTC seconds) of all."""

    def set(self, name: str, value: str) -> None:
        """Keep a value."""

    def remove(self, name: str) -> None:
        """Forget a value."""


class DataPort(Protocol):
    """The data of nodes and jobs as the server sees it. Everything raises AfieldError."""

    async def places(self, wanted: Mapping[str, Any], user: str) -> list[View]:
        """What a place is on each node that it is on; a node that does not answer has `error`."""

    async def listing(self, node: str, path: str, *, deep: bool) -> list[list[Any]]:
        """What lies below a folder of a node: [path, kind, size, mtime_ns, mode, link target]."""

    def get(self, node: str, path: str, files: Sequence[Sequence[Any]]) -> AsyncIterator[Frame]:
        """Files below a folder of a node, each from its offset on."""

    def fetch(self, node: str, folder: str, url: str, sha256: str) -> AsyncIterator[Frame]:
        """Download into a folder of a node."""

    async def put(self, node: str, base: str, items: AsyncIterator[Frame]) -> int:
        """Take items into a folder of a node; how many there were."""


class ForwardPort(Protocol):
    """Ports of nodes that are used here, as the server sees them. Everything raises AfieldError."""

    def hold(self, wanted: Mapping[str, Any]) -> AsyncIterator[Frame]:
        """Forwards that live as long as the frames are read."""


class ControllerPort(Protocol):
    """A controller as the server sees it. Everything raises AfieldError."""

    store_id: str

    @property
    def fleet(self) -> FleetPort:
        """The nodes."""

    @property
    def secrets(self) -> SecretsPort:
        """Values that jobs get and nobody reads."""

    @property
    def data(self) -> DataPort:
        """The data of nodes and jobs."""

    @property
    def forwards(self) -> ForwardPort:
        """Ports of nodes that are used here."""

    @property
    def beside(self) -> BesidePort:
        """Commands on nodes and beside jobs."""

    @property
    def seq(self) -> int:
        """The cursor of the newest event of the log."""

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

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[View]:
        """Views of the unfinished jobs, or of all, newest first."""

    def job(self, number: int) -> View:
        """One job's view."""

    def submission(self, number: int) -> Submission:
        """What was asked for when the job was submitted."""

    def why(self, number: int) -> View:
        """Why it waits: what binds, who holds it, what would start it."""

    def follow(
        self, number: int, cursors: dict[str, int], *, follow_on: bool = True, tail: int | None = None
    ) -> AsyncIterator[Frame]:
        """News and output of a job from the cursors on; without one from `tail` bytes before the end, or from 0."""

    def output(self, number: int, attempt: int | None, stream: str, start: int, length: int) -> bytes:
        """At most `length` mirrored bytes of a stream such as `p0/out`; None is the newest attempt; b"" at the end."""

    def file(self, number: int, rank: int, path: str) -> AsyncGenerator[bytes, None]:
        """A file of a job's newest attempt, by its path in the job's folder on the node of that process."""

    def events(self, since: int) -> AsyncIterator[Record]:
        """The log after a cursor, then live."""

    def names(self) -> View:
        """(name, health) of all `nodes`, and (number, what it is) of the newest `jobs`."""

    def overview(self) -> View:
        """Everything on one screen."""
