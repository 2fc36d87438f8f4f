"""What comes in by the API: bodies that are read, and refused here."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

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
