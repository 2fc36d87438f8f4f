"""`afield pull`: bring a job's results home."""

from __future__ import annotations

from pathlib import Path

import click

from afield.cli import context, show


@click.command(name="pull", short_help="bring a job's results home")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Another folder than outputs/JOB."
)
@context.json_option
@click.argument("job", type=context.JOB)
def command(job: int | str, output: Path | None, as_json: str | None) -> None:
    """Bring what a job left in its outputs folder to outputs/JOB/ in the workspace. Nothing is overwritten.

    \b
      afield pull 3
      afield pull 3 -o /tmp/results
    """
    from afield.sdk.results import pull

    client = context.client()
    view = client.job(context.number(client, job))
    brought = pull(client, view, output)
    if as_json:
        show.as_json(
            {
                "schema": 1,
                "files": brought.files,
                "kept": brought.kept,
                "bytes": brought.bytes,
                "folder": str(brought.folder),
            }
        )
        return
    if not brought.files and not brought.kept:
        show.say(f"job {view['number']} left no files in its outputs folder")
        return
    print(brought.folder)
    kept = f"{brought.kept} {'was' if brought.kept == 1 else 'were'} here" if brought.kept else ""
    new = f"{show.files(brought.files)}, {show.size(brought.bytes)}" if brought.files else "nothing new"
    show.say(", ".join(part for part in (new, kept) if part))
