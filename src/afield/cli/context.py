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


DIGITS = 15
"""More has no number of a job."""


class JobTarget(click.ParamType[int | str]):
    """A job: `12`, `job:12` or `@last`. Gives its number; `@last` is resolved by `number`."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        text = str(value).removeprefix("job:")
        number = int(text) if text.isdecimal() and text.isascii() and len(text) <= DIGITS else 0
        return number or str(value)


JOB = JobTarget()


def is_job(word: str) -> bool:
    """Whether a word names a job; a node whose name is a number is named as node:12."""
    return word == "@last" or word.removeprefix("job:").isdecimal()


def only_job(client: Client) -> int:
    """The one job that runs. Raises UsageError when it is not clear which is meant."""
    running = [int(job["number"]) for job in client.jobs() if job["phase"] in ("running", "stopping")]
    if len(running) == 1:
        return running[0]
    said = f"{len(running)} jobs run: {', '.join(map(str, sorted(running)[:20]))}" if running else "no job runs"
    raise UsageError(
        "say which job", why=said, hints=[f"name it: {running[0]}, or @last"] if running else ["afield ps --all"]
    )


def workers(text: str) -> list[int] | None:
    """The workers that an option names; None for all. Raises UsageError."""
    words = [word for word in text.split(",") if word]
    if text in ("", "all"):
        return None
    if not all(word.isdecimal() and word.isascii() for word in words):
        raise UsageError(f"{text!r} are no workers", hints=["-w 0", "-w 0,3", "-w all"])
    return [int(word) for word in words]


def number(client: Client, target: int | str) -> int:
    """The number of a target. Raises NotFound where there is no job yet, UsageError for a word that is no target."""
    if isinstance(target, int):
        return target
    if target != "@last":
        # A name may be that of several jobs: it is a reminder for people, and starts or stops nothing.
        named = [str(job["number"]) for job in client.jobs(all=True) if job["name"] == target]
        hints = [f"{', '.join(named[:3])}, which {'has' if len(named) == 1 else 'have'} that name"] if named else []
        raise UsageError(f"{target!r} is no job", hints=[*hints, "12, job:12 or @last name jobs", "afield ps"])
    jobs = client.jobs(all=True, limit=1)
    if not jobs:
        from afield.errors import NotFound

        raise NotFound("there is no job yet", hints=["afield run train.py"])
    return int(jobs[0]["number"])


def fields(as_json: str | None) -> str:
    """The fields asked for; "" for all."""
    return "" if as_json in (None, "*") else str(as_json)
