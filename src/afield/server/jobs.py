"""What is asked about jobs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ValidationError

from afield.controller.submit import Submission
from afield.errors import UsageError
from afield.runner import points, wire
from afield.server import answers, routes, schema
from afield.server.answer import FRAMES, Json, Stream, frames
from afield.server.desk import Desk
from afield.server.port import ControllerPort, View

SCHEMA = 1
LEAVING = wire.pack({"on": "leaving"})
"""The last frame of a stream that goes on in the next server: ask again with the cursors."""

OCTETS = "application/octet-stream"
BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {OCTETS: {}}, "description": "the bytes"}}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {FRAMES: {}}, "description": "frames as they come"}}


class JobRoutes:
    """Submission, views, goals, and the streams of one job."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self, route: routes.Route) -> APIRouter:
        """The addresses."""
        router = routes.router(route, "/v1/jobs", "jobs")
        add = router.add_api_route
        add("", self.submit, methods=["POST"], response_model=answers.Jobs)
        add("", self.jobs, methods=["GET"], response_model=answers.Jobs)
        add("/{number}", self.job, methods=["GET"], response_model=answers.JobView)
        add("/{number}/why", self.why, methods=["GET"], response_model=answers.WhyView)
        add("/{number}/submission", self.submission, methods=["GET"], response_model=Submission)
        add("/{number}/stop", self.stop, methods=["POST"], response_model=answers.JobView)
        add("/{number}/release", self.release, methods=["POST"], response_model=answers.JobView)
        add("/{number}/follow", self.follow, methods=["GET"], response_class=Response, responses=STREAM)
        add("/{number}/shell", self.shell, methods=["GET"], response_model=answers.Shell)
        add("/{number}/output", self.output, methods=["GET"], response_class=Response, responses=BYTES)
        add("/{number}/file", self.file, methods=["GET"], response_class=Response, responses=BYTES)
        return router

    async def submit(self, body: schema.SubmitBody) -> Response:
        """All the jobs or none; a key that was used before gives the job it named."""
        for index, submission in enumerate(body.jobs):
            schema.check(submission, f"jobs.{index}")
        self._check_cache(body)
        asked = [self._signed(s) for s in body.jobs]
        with points.around("controller.submit"):
            return _jobs(await self._desk.controller.submit(asked, dry_run=body.dry_run))

    def _check_cache(self, body: schema.SubmitBody) -> None:
        """Code that was taken into another folder would be missed only when a node asks for it."""
        ours = self._desk.cache
        if not (ours and body.cache) or os.path.realpath(ours) == os.path.realpath(body.cache):
            return
        if any(s.task.code is not None for s in body.jobs):
            raise UsageError(
                "this command and the server of your jobs use different cache folders",
                why=f"the code was taken into {body.cache}; the server reads from {ours}",
                hints=[f"AFIELD_CACHE_DIR={ours}", f"or let the server leave: kill {os.getpid()}    no job is touched"],
            )

    async def jobs(
        self,
        everything: Annotated[bool, Query(alias="all")] = False,
        limit: Annotated[int, Query(ge=1, le=1_000_000)] = 1000,
    ) -> Response:
        """The unfinished jobs, or all; newest first."""
        return _jobs(self._desk.controller.jobs(all=everything, limit=limit))

    async def job(self, number: schema.Number) -> Response:
        """One job."""
        return Json(self._desk.controller.job(number))

    async def why(self, number: schema.Number) -> Response:
        """Why a job waits, who holds what it needs, and what would start it."""
        return Json(self._desk.controller.why(number))

    async def submission(self, number: schema.Number) -> Response:
        """What was asked for, ready to be submitted again under a new key."""
        return Json(dataclasses.asdict(self._desk.controller.submission(number)))

    async def stop(self, number: schema.Number) -> Response:
        """Record that the job shall stop; asking twice is the same as once."""
        return Json(await self._desk.controller.stop_job(number, self._desk.user))

    async def release(self, number: schema.Number) -> Response:
        """Let a held job be placed again."""
        return Json(await self._desk.controller.release_job(number, self._desk.user))

    async def follow(
        self,
        number: schema.Number,
        cursors: str = "{}",
        follow: bool = True,
        tail: schema.Offset | None = None,
    ) -> Response:
        """News and output from the cursors on, as frames; `cursors` is a JSON object of stream to offset.

        A stream without a cursor begins `tail` bytes before its end, or at its beginning.
        """
        self._desk.controller.job(number)
        source = self._desk.controller.follow(number, _cursors(cursors), follow_on=follow, tail=tail)
        return Stream(frames(source), FRAMES, self._desk.leaving, LEAVING)

    async def shell(self, number: schema.Number, worker: Annotated[int, Query(ge=0)] = 0) -> Response:
        """The commands for the caller's own terminal: a shell beside the worker's first process."""
        return Json(await self._desk.controller.beside.shell(number, worker))

    async def output(self, number: schema.Number, wanted: Annotated[schema.Range, Query()]) -> Response:
        """The mirrored bytes of one stream, between two offsets."""
        self._desk.controller.job(number)
        return Stream(_mirrored(self._desk.controller, number, wanted), OCTETS)

    async def file(
        self,
        number: schema.Number,
        path: Annotated[str, Query(min_length=1, max_length=4096)],
        rank: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """A file of the job's folder on the node of a process, by its path in there; of the newest attempt."""
        return Stream(self._desk.controller.file(number, rank, path), OCTETS)

    def _signed(self, submission: Submission) -> Submission:
        return submission if submission.user else dataclasses.replace(submission, user=self._desk.user)


def _jobs(views: list[View]) -> Json:
    return Json({"schema": SCHEMA, "jobs": views})


def _cursors(text: str) -> schema.Cursors:
    try:
        return schema.CURSORS.validate_json(text)
    except ValidationError as error:
        raise UsageError("the cursors cannot be read", why=error.errors()[0]["msg"]) from None


async def _mirrored(controller: ControllerPort, number: int, wanted: schema.Range) -> AsyncGenerator[bytes, None]:
    at = wanted.start
    while wanted.end is None or at < wanted.end:
        most = wire.CHUNK if wanted.end is None else min(wire.CHUNK, wanted.end - at)
        data = controller.output(number, wanted.attempt, f"p{wanted.rank}/{wanted.stream}", at, most)
        if not data:
            return
        at += len(data)
        yield data
