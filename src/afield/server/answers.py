"""What the server answers, as OpenAPI describes it; never validated, the controller's views go out as they are."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


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


class ProgressView(TypedDict):
    """How far the program of a live attempt said last that it is, in its own unit; `total` null is not known."""

    done: float
    total: float | None
    at: str


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
    continues: int | None
    attempts: list[AttemptView]
    silent: dict[str, float]
    coming: bool
    trouble: str
    progress: ProgressView | None


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

    error: ErrorBody | None
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


class Overview(TypedDict):
    """The nodes, and how many jobs are in each phase."""

    schema: int
    jobs: dict[str, int]
    nodes: list[NodeView]


class Shell(TypedDict):
    """Commands for a person's own terminal."""

    argv: list[str]
    login: list[str]


class WhyView(TypedDict):
    """Why a job waits."""

    schema: int
    job: int
    reason: str
    binds: list[str]
    held_by: list[str]
    would_start: list[str]
    lines: list[str]
    view: JobView


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
