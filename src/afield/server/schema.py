"""The shapes of the API: bodies that are read and refused here, and answers as they are documented in OpenAPI.

Answers are described, never validated: the controller's views go out as they are.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from afield.controller.submit import Submission
from afield.errors import UsageError

Number = Annotated[int, Field(ge=1, le=2**53)]
Offset = Annotated[int, Field(ge=0, le=2**62)]
Cursors = dict[str, Offset]

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
PRIORITY_LIMIT = 1_000_000

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BLOB = re.compile(r"[0-9a-f]{40}")

CURSORS: TypeAdapter[Cursors] = TypeAdapter(Cursors)


class SubmitBody(BaseModel):
    """Jobs to submit: all of them or none; `cache` is the folder that the caller took the code into."""

    model_config = _STRICT
    jobs: Annotated[list[Submission], Field(min_length=1)]
    dry_run: bool = False
    cache: str = ""


class Range(BaseModel):
    """Which bytes of which stream; `attempt` left out is the newest, `to` left out is the end."""

    model_config = _STRICT
    attempt: Annotated[int, Field(ge=1)] | None = None
    rank: Annotated[int, Field(ge=0)] = 0
    stream: Literal["out", "err"] = "out"
    start: Annotated[Offset, Field(alias="from")] = 0
    end: Annotated[Offset | None, Field(alias="to")] = None


class ExecuteBody(BaseModel):
    """One command for nodes, or for workers of a job; null means all of them."""

    model_config = _STRICT
    nodes: list[str] | None = None
    job: Number | None = None
    workers: list[Annotated[int, Field(ge=0)]] | None = None
    argv: Annotated[list[str], Field(min_length=1)]
    variables: dict[str, str] = Field(default_factory=dict)


class CleanBody(BaseModel):
    """How far to clean a node: `every` trace, also results that are not home (`force`), or only look (not `act`)."""

    model_config = _STRICT
    every: bool = False
    force: bool = False
    act: bool = True


class SecretBody(BaseModel):
    """The value of a secret; no answer ever has one."""

    model_config = _STRICT
    value: Annotated[str, Field(min_length=1)]


class ProbeBody(BaseModel):
    """Which nodes to ask; null means all."""

    model_config = _STRICT
    nodes: list[str] | None = None


class PlaceBody(BaseModel):
    """A place: nodes (null: all) or a job with workers (null: all, none: its only one), an area, a path in it."""

    model_config = _STRICT
    nodes: list[str] | None = None
    job: Number | None = None
    workers: list[Annotated[int, Field(ge=0)]] | None = Field(default_factory=list)
    area: Literal["", "home", "shared"] = ""
    path: str = ""
    tools: bool = False


class ListBody(BaseModel):
    """A folder of a node, by its absolute path, and whether all below it is wanted."""

    model_config = _STRICT
    node: str
    path: str
    deep: bool = True


class GetBody(BaseModel):
    """Files below a folder of a node: [path, offset to begin at] each."""

    model_config = _STRICT
    node: str
    path: str
    files: list[tuple[str, Offset]]


class FetchBody(BaseModel):
    """An address to download from, into a folder of a node; `sha256` "" is not known."""

    model_config = _STRICT
    node: str
    folder: str
    url: str
    sha256: Annotated[str, Field(pattern="^([0-9a-fA-F]{64})?$")] = ""


class Hello(TypedDict):
    """Who answers."""

    api: int
    build: str
    version: str
    pid: int
    store: str
    state: str
    seq: int


class Nothing(TypedDict):
    """An empty object."""


class Places(TypedDict):
    """A place on each node that it is on."""

    schema: int
    places: list[dict[str, Any]]


class Entries(TypedDict):
    """What lies in a folder: [path, kind, size, mtime in ns, mode, link target]."""

    schema: int
    entries: list[list[Any]]


class Taken(TypedDict):
    """How many items a node has taken."""

    items: int


class Exited(TypedDict):
    """How one process ended."""

    rank: int
    code: int | None
    signal: int | None
    status: int
    how: str


class Placed(TypedDict):
    """Where one process of an attempt runs; `worker` is the index of its node."""

    rank: int
    node: str
    worker: int
    group: int
    index: int


class AttemptView(TypedDict):
    """One try of a job."""

    number: int
    state: str
    outcome: str | None
    why: str | None
    nodes: list[str]
    placed_at: str | None
    started_at: str | None
    ended_at: str | None
    exits: list[Exited]
    cause: int | None
    detail: str
    survivors: list[str]
    processes: list[Placed]


class SnapshotView(TypedDict):
    """The code of a job."""

    workspace: str
    tree: str
    root: str
    folder: str
    base_commit: str


class JobView(TypedDict):
    """A job as people and scripts see it; fields are only ever added."""

    number: int
    name: str
    user: str
    phase: str
    reason: str
    goal: str
    policy: str
    priority: int
    command: list[str]
    request: str
    processes: int
    nodes: list[str]
    devices: dict[str, list[str]]
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    exit_status: int | None
    outcome: str | None
    snapshot: SnapshotView | None
    environment: str
    secrets: list[str]
    packages: list[str]
    attempts: list[AttemptView]
    silent: dict[str, float]
    coming: bool


class DeviceView(TypedDict):
    """One accelerator and the job that holds it."""

    id: str
    model: str
    index: int
    memory_bytes: int
    taken_bytes: int
    used_bytes: int | None
    busy: str
    job: int | None


class NodeView(TypedDict):
    """A node as people and scripts see it; fields are only ever added."""

    name: str
    backend: str
    target: str
    address: str
    slice: str
    health: str
    detail: str
    hints: list[str]
    cpu: float
    memory_bytes: int
    disk_bytes: int
    devices: list[DeviceView]
    declared: str
    jobs: list[int]
    facts: dict[str, str]
    seen_at: str | None
    asked_at: str | None
    silent_since: str | None
    drained: bool


class Names(TypedDict):
    """What a shell may complete: names, each with a word about it."""

    nodes: list[tuple[str, str]]
    jobs: list[tuple[int, str]]
    secrets: list[str]


class SecretView(TypedDict):
    """A secret without its value."""

    name: str
    set_at: str | None


class SecretsView(TypedDict):
    """All secrets, without their values, in one envelope."""

    schema: int
    secrets: list[SecretView]


class Jobs(TypedDict):
    """Jobs in one envelope."""

    schema: int
    jobs: list[JobView]


class Nodes(TypedDict):
    """Nodes in one envelope."""

    schema: int
    nodes: list[NodeView]


class ProbeView(TypedDict):
    """What a node said when it was asked just now, or `error` where it did not."""

    error: dict[str, Any] | None
    took_s: float
    skew_s: float | None
    internet: str
    memory_free_bytes: int | None
    disk_bytes: int | None
    disk_free_bytes: int | None
    load: float | None
    uv: str
    devices_error: str


class ProbedNodeView(NodeView):
    """A node that was asked just now."""

    probe: ProbeView


class ProbedNodes(TypedDict):
    """Nodes that were asked just now, in one envelope."""

    schema: int
    nodes: list[ProbedNodeView]


class Shell(TypedDict):
    """Commands for a person's own terminal."""

    argv: list[str]
    login: list[str]


class WhyView(TypedDict):
    """Why a job waits."""

    schema: int
    job: int
    reason: str
    binds: list[Any]
    held_by: list[Any]
    would_start: list[Any]
    lines: list[str]


class ErrorBody(TypedDict):
    """An error as `AfieldError.as_dict` writes it."""

    code: str
    exit: int
    what: str
    why: str
    hints: list[str]


class Failure(TypedDict):
    """What every answer with a status of 400 or more holds."""

    error: ErrorBody


def check(submission: Submission, path: str) -> None:
    """Raises UsageError for what the types allow and no job can be: an empty command, a NUL, a count below one."""
    task = submission.task
    if not submission.key:
        raise _bad(f"{path}.key", "the submit key is empty")
    if not task.argv or not task.argv[0]:
        raise _bad(f"{path}.task.argv", "the command is empty")
    if abs(submission.priority) > PRIORITY_LIMIT:
        raise _bad(f"{path}.priority", f"a priority lies between -{PRIORITY_LIMIT} and {PRIORITY_LIMIT}")
    texts = [*task.argv, *task.setup, *task.preflight, *(text for pair in task.variables for text in pair)]
    if any("\0" in text for text in texts):
        raise _bad(f"{path}.task", "arguments and variables cannot hold a NUL byte")
    if any("=" in name or not name for name, _ in task.variables):
        raise _bad(f"{path}.task.variables", "the name of a variable is not empty and holds no =")
    for file in task.attached:
        if not _NAME.fullmatch(file.name) or not _BLOB.fullmatch(file.blob) or task.code is None:
            raise _bad(f"{path}.task.attached", "a plain name, the hash of a blob, and code to keep it with")
    for index, group in enumerate(submission.request.groups):
        if group.count < 1 or any(ask.count < 1 for ask in group.devices):
            raise _bad(f"{path}.request.groups.{index}", "a count is at least 1")


def _bad(path: str, why: str) -> UsageError:
    return UsageError(f"the submission is not right at {path}", why=why)
