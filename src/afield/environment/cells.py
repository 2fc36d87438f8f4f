"""The Python in a notebook, for who asks what it imports."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

_OURS = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)
"""What is for the shell or for IPython, and no Python."""


def code(path: Path) -> str:
    """The code of all cells that are Python, one after the other; "" for what is no notebook."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "\n".join(text for text in map(_plain, texts) if text)


def _plain(text: str) -> str:
    """A cell without magic; "" for one that is another language, or not yet Python."""
    if text.lstrip().startswith("%%"):
        return ""
    text = _OURS.sub(r"\1pass", text)
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return ""
    return text
