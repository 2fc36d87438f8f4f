"""`afield tensorboard`: TensorBoard where the logs are, its page here. No event file is copied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, show
from afield.cli.places import Where, resolve
from afield.cli.serving import serve
from afield.cli.verbs.run import detached
from afield.errors import UsageError

if TYPE_CHECKING:
    from afield.sdk.client import Client

OUTPUTS = "outputs"
"""What is shown of a job: the folder that its program knows as OUTPUT_DIR."""


@click.command(name="tensorboard", short_help="TensorBoard on the node where the logs are")
@click.option("-L", "--local", metavar="[LOCAL:]PORT", help="LOCAL is the port here; 6006 or a free one if not given.")
@click.option("--with", "with_", multiple=True, metavar="PACKAGE", help="A plug-in, as tensorboard-plugin-profile.")
@click.option("-w", "--worker", "workers", default="", metavar="N", help="A worker of the job.")
@click.option("-d", "--detach", is_flag=True, help="Give the prompt back; `afield forward JOB` shows the page.")
@context.json_option
@click.argument("place", metavar="PLACE|JOB")
def command(place: str, local: str | None, detach: bool, as_json: str | None, **options: Any) -> int:
    """Run TensorBoard on the node that has the logs until Ctrl-C, and print its address here.

    \b
      afield tensorboard 12                what job 12 writes to OUTPUT_DIR
      afield tensorboard 12:src/runs       another folder of the job
      afield tensorboard box1:/scratch/me/runs -L 8080
      afield tensorboard outputs/12        a folder here

    How places are written: afield help places. Others who use the node do not reach its page.
    """
    from afield.sdk.serve import board

    wanted = _local(local)
    client = context.client()
    node, folder = _where(client, place, options["workers"])
    view = client.submit([board(node, folder, options["with_"])])[0]
    if detach:
        detached(view, as_json, quiet=True)
        show.hint(f"its page: afield forward {view['number']}    end it: afield stop {view['number']}")
        return 0
    show.say(f"tensorboard · job {view['number']} · {show.safe(place)}, on {node}")
    return serve(client, view, {"env": "tensorboard"}, wanted, as_json)


def _where(client: Client, text: str, workers: str) -> tuple[str, str]:
    """The node and the folder there. Raises NotFound, UsageError."""
    from pathlib import Path

    from afield.sdk.places import is_place, parse

    if re.fullmatch(r"(job:)?\d+|@last", text):
        text = f"{text}:{OUTPUTS}"
    if not is_place(text):
        folder = Path(text)
        if not folder.is_dir():
            raise UsageError(f"there is no folder {text} here", hints=["12 for a job, box1:PATH for a node's folder"])
        return "local", str(folder.resolve())
    found: dict[str, Any] = resolve(client, parse(text), Where(workers=workers))[0]
    if found["kind"] != "dir":
        raise UsageError(f"{text} is no folder", hints=["TensorBoard wants the folder that has the event files"])
    return str(found["node"]), str(found["path"])


def _local(text: str | None) -> tuple[int, bool] | None:
    if text is None:
        return None
    # PORT of the old tools is the one on the node, which nobody has to know here.
    word = text.partition(":")[0]
    if not re.fullmatch(r"[0-9]{1,5}(:[0-9]{1,5})?", text) or int(word) > 65535:
        raise UsageError(f"{text!r} is no port", hints=["-L 8080", "-L 0    any free one"])
    return int(word), word != "0"
