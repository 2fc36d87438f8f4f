"""What is asked about forwards."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from afield.server.schema import Number


class ForwardBody(BaseModel):
    """Ports ("6006") or Unix sockets ("/…") of a node, or of the node of a job's process."""

    model_config = ConfigDict(extra="forbid")
    node: str | None = None
    job: Number | None = None
    process: Annotated[int, Field(ge=0)] = 0
    places: Annotated[list[Annotated[str, Field(pattern=r"^([1-9]\d{0,4}|/[^\x00\n:]+)$")]], Field(min_length=1)]
