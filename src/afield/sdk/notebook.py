"""A job as a notebook shows it: a small static table. All that comes from a job is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any


def shown(view: Mapping[str, Any]) -> str:
    """The HTML of one job."""
    rows = {
        "job": f"{view['number']} {view['name']}".strip(),
        "state": str(view["phase"]).replace("_", " ") + (f": {view['reason']}" if view.get("reason") else ""),
        "where": ", ".join(view.get("nodes") or ()) or "-",
        "command": " ".join(view["command"]),
    }
    if view.get("exit_status") is not None:
        rows["exit"] = str(view["exit_status"])
    cells = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    return f"<table>{cells}</table>"
