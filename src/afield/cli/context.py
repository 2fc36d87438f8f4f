"""What every verb needs: the settings, a client, a job number from a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from afield.cli.json_option import option as json_option
from afield.errors import UsageError

__all__ = ["JOB", "JobTarget", "client", "fields", "json_option", "number"]

if TYPE_CHECKING:
    from afield.sdk.client import Client


def client() -> Client:
    """A client of this user's controller, which is started when none runs."""
    from afield.sdk.client import Client  # loads http.client, which --help does not need

    return Client()


class JobTarget(click.ParamType[int | str]):
    """A job: `12`, `job:12` or `@last`. Gives its number; `@last` is resolved by `number`."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or "@last"."""
        if isinstance(value, int):
            return value
        if value == "@last":
            return "@last"
        text = str(value).removeprefix("job:")
        if not text.isdigit() or int(text) < 1:
            raise UsageError(f"{value!r} is no job", hints=["12, job:12 or @last name jobs", "afield ps"])
        return int(text)


JOB = JobTarget()


def number(client: Client, target: int | str) -> int:
    """The number of a target. Raises NotFound where there is no job yet."""
    if target != "@last":
        return int(target)
    jobs = client.jobs(all=True, limit=1)
    if not jobs:
        from afield.errors import NotFound

        raise NotFound("there is no job yet", hints=["afield run train.py"])
    return int(jobs[0]["number"])


def fields(as_json: str | None) -> str:
    """The fields asked for; "" for all."""
    return "" if as_json in (None, "*") else str(as_json)
