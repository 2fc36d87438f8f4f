"""Screens compared with the files in tests/facts/screens. AFIELD_FACTS=write writes them anew, to be looked at."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "facts" / "screens"


def compare(name: str, text: str) -> None:
    """Fails with both screens when they differ; blanks at the ends of lines are nothing."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("AFIELD_FACTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(_bare(text))
    wanted = path.read_text() if path.exists() else ""
    assert known(name, text), f"{path.name} shows\n{wanted}\nthe screen is\n{_bare(text)}"


def known(name: str, text: str) -> bool:
    """Whether the screen is as its file says."""
    path = FOLDER / f"{name}.txt"
    return path.exists() and path.read_text() == _bare(text)


def _bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"
