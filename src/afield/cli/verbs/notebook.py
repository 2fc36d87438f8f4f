"""`afield notebook`: Jupyter on a node, in the project's environment, as a job like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from afield.cli import context, show
from afield.cli.serving import serve
from afield.cli.verbs.run import detached, given, job_options, named
from afield.errors import UsageError


@click.command(name="notebook", short_help="Jupyter on a node, in the project's environment")
@job_options
@click.option("--with", "with_", multiple=True, metavar="PACKAGE", help="Another package in its environment.")
@click.option("-L", "--local", metavar="PORT", help="The port here; 8888 or a free one if not given.")
@click.option("-d", "--detach", is_flag=True, help="Give the prompt back; `afield forward JOB` shows the page.")
@context.json_option
@click.argument("path", required=False)
def command(path: str | None, local: str | None, detach: bool, as_json: str | None, **options: Any) -> int:
    """Run JupyterLab on a node until Ctrl-C, with the packages of the project, and print its address here.

    \b
      afield notebook               on any free node
      afield notebook -n box1 -g 1 explore.ipynb
      afield notebook --detach      it goes on; afield forward @last comes back

    It works on the job's copy of your code. Notebooks that you save come home to outputs/JOB/.
    """
    from afield.sdk.programs import JUPYTER
    from afield.sdk.submit import WITH, build

    wanted = _local(local)
    packages = ["jupyterlab", *options.pop("with_")]
    inside = _inside(path)
    client = context.client()
    asked = {"name": "notebook", "outputs": ["*.ipynb"], **given(named(client, options)), WITH: packages}
    submission = build([*JUPYTER, *([inside] if inside else [])], asked)
    show.say_dim([*submission.left_out, *(f"env: {note}" for note in submission.notes)])
    view = client.submit([submission.body])[0]
    if detach:
        detached(view, as_json, quiet=True)
        show.hint(f"its page: afield forward {view['number']}    end it: afield stop {view['number']}")
        return 0
    show.say(f"notebook · job {view['number']}")
    return serve(client, view, submission.texts, wanted, as_json)


def _local(text: str | None) -> tuple[int, bool] | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise UsageError(f"{text!r} is no port", hints=["-L 8888", "-L 0    any free one"])
    return int(text), text != "0"


def _inside(path: str | None) -> str:
    """The path as Jupyter sees it. Raises UsageError for one that the job has not."""
    if path is None:
        return ""
    found, here = Path(path).resolve(), Path.cwd().resolve()
    if not found.exists():
        raise UsageError(
            f"there is no {path} here",
            why="a notebook begins with a copy of what is here",
            hints=["afield notebook    without a name begins in this folder"],
        )
    if not found.is_relative_to(here):
        raise UsageError(
            f"{path} is outside of this folder", hints=[f"cd {found.parent} && afield notebook {found.name}"]
        )
    inside = str(found.relative_to(here))
    return "" if inside == "." else inside
