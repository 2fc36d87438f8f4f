"""`afield bundle`: one archive that runs without afield."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from afield.cli import context, show
from afield.cli.places import Where, resolve
from afield.cli.verbs.run import given, job_options, named


@click.command(
    name="bundle",
    short_help="one archive that runs without afield",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("bundle.tar.gz"))
@job_options
@context.json_option
@click.argument("argv", nargs=-1, required=True, metavar="[--] CMD...", type=click.UNPROCESSED)
def command(argv: tuple[str, ...], output: Path, as_json: str | None, **options: Any) -> None:
    """Write an archive with the code as it is now, what defines its environment, and a run.sh that runs CMD with them:
    for a machine without afield, for a colleague, for a paper. Options are those of run; where and when do not matter.

    \b
      afield bundle train.py --lr 3e-4
      afield bundle -o vit.tar.gz -e SEED=1 -- python3 -m vit.train
      tar xzf vit.tar.gz && vit/run.sh

    With --continue it brings what that job kept, and begins with it.
    """
    from afield.sdk.bundle import bundle

    if not options["continues"]:
        made = bundle(list(argv), given(options), output)
    else:
        with TemporaryDirectory(prefix="afield-") as keep:
            known = named(context.client(), options)
            _bring(known["continues"], Path(keep))
            made = bundle(list(argv), given(known), output, Path(keep))
    if as_json:
        told = {"schema": 1, "path": str(made.path), "files": made.files, "bytes": made.bytes}
        show.as_json(told, context.fields(as_json))
        return
    print(made.path)
    show.say(f"{show.files(made.files)}, {show.size(made.bytes)}; run it: tar xzf {show.safe(str(made.path))}, run.sh")


def _bring(job: int, folder: Path) -> None:
    """The keep folder of a job, here. Raises NotFound, Unreachable."""
    from afield.sdk.bring import Goal, bring
    from afield.sdk.meter import Meter
    from afield.sdk.places import parse

    client = context.client()
    bring(client, resolve(client, parse(f"{job}:keep"), Where())[0], Goal(folder), Meter())
