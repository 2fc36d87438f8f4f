"""`afield.run`: the command line's `run` as a function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from afield.errors import UsageError
from afield.sdk.client import Client
from afield.sdk.job import Job
from afield.sdk.options import Options
from afield.sdk.submit import build_all


def run(*argv: str | os.PathLike[str], folder: str | Path | None = None, **options: Unpack[Options]) -> Job:
    """Submit a command and give its job, which starts at once; `run("train.py", "--lr", "3e-4", gpus=1)`.

    Options are those of `afield run` and of `afield.toml`; `folder` is where the command runs (default: here). Raises
    UsageError, NothingFits, SetupFailed.
    """
    return run_all([argv], folder=folder, **options)[0]


def job(number: int) -> Job:
    """A job by its number, also one that another program submitted. Raises NotFound, UsageError for no number."""
    try:
        wanted = int(number)
    except (TypeError, ValueError) as error:
        hints = ["af.job(12)", "af.jobs(all=True)[0] is the newest one"]
        raise UsageError(f"{number!r} is not the number of a job", hints=hints) from error
    client = Client()
    return Job(client, client.job(wanted))


def jobs(*, all: bool = False, limit: int = 1000) -> list[Job]:
    """The unfinished jobs, or all; newest first."""
    client = Client()
    return [Job(client, view) for view in client.jobs(all=all, limit=limit)]


def run_all(
    commands: Iterable[Sequence[str | os.PathLike[str]]],
    *,
    folder: str | Path | None = None,
    **options: Unpack[Options],
) -> list[Job]:
    """Submit many commands with the same options and the same code at once: all or none are accepted."""
    words = [[os.fspath(word) for word in command] for command in commands]
    client = Client()
    bodies = [built.body for built in build_all(words, options, folder)]
    return [Job(client, view) for view in client.submit(bodies)]
