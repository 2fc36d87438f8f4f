"""Results of a followed job on their way home."""

from __future__ import annotations

import time
from typing import Any

from afield.cli import show
from afield.cli.follow import stage_line
from afield.errors import AfieldError

COMING_S = 0.1
"""Between two looks at whether all outputs that come by themselves are here."""


def home(client: Any, view: dict[str, Any], quiet: bool) -> None:
    """Bring the results of a job that has ended home, and say so. Raises AfieldError where they do not come."""
    from afield.sdk.results import pull

    if not view["attempts"] or view["snapshot"] is None or view["outcome"] in ("setup_failed", "lost"):
        return
    while view["coming"] and not view["silent"]:
        if view["trouble"]:
            raise AfieldError(
                f"the outputs of job {view['number']} do not come home",
                why=view["trouble"],
                hints=["they stay on the node, and come by themselves when that is mended"],
            )
        time.sleep(COMING_S)
        view = client.job(view["number"])
    brought = pull(client, view)
    for path, why in brought.closed:
        show.say(f"left on the node: {show.safe(path)} ({why})")
    if brought.files and not quiet:
        line = {
            "stage": "fetch",
            "state": "done",
            "text": f"{show.files(brought.files)}, {show.size(brought.bytes)} → {brought.shown}",
        }
        show.say(stage_line(line))
