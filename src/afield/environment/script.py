"""The rung for a single file: the PEP 723 header (`# /// script`) of a Python script."""

from __future__ import annotations

import re
from typing import Any

from afield.environment.tree import Recipe, Tree, parse
from afield.errors import UsageError
from afield.model.task import EnvironmentKind

_OPENING = re.compile(r"^# /// script\s*$")
_LOCK = ".lock"


def recipe(tree: Tree, name: str, python: str) -> Recipe | None:
    """The environment of a script with a header; None for one without. Raises UsageError for a broken header."""
    found = header(tree.text(name), name)
    if found is None:
        return None
    text, tables = found
    wants = tables.get("requires-python", "")
    if not isinstance(wants, str):
        raise UsageError(f"{name}: requires-python in the script's header is no text", why=repr(wants))
    locked = [name + _LOCK] if tree.has(name + _LOCK) else []
    content = (text.encode("utf-8", "surrogateescape"), *(tree.data(lock) for lock in locked))
    label = f"{name} header, locked" if locked else f"{name} header"
    return Recipe(EnvironmentKind.SCRIPT, (name, *locked), content, python or wants, label)


def header(text: str, name: str) -> tuple[str, dict[str, Any]] | None:
    """The header's TOML, as text and as tables; None when there is none.

    Raises UsageError for a second header, one that is not closed, or bad TOML, with the line.
    """
    lines = text.splitlines()
    openings = [i for i, line in enumerate(lines) if _OPENING.match(line)]
    if not openings:
        return None
    if len(openings) > 1:
        raise UsageError(
            f"{name}:{openings[1] + 1}: a second script header", why=f"the first one begins on line {openings[0] + 1}"
        )
    begin = openings[0] + 1
    block = []
    for line in lines[begin:]:
        if not (line == "#" or line.startswith("# ")):
            break
        block.append(line)
    closings = [i for i, line in enumerate(block) if line.rstrip() == "# ///"]
    if not closings:
        raise UsageError(
            f"{name}:{begin}: the script's header is not closed",
            why=f"no line `# ///` before line {begin + len(block) + 1}, where the comment ends",
        )
    body = "".join(line[2:] + "\n" for line in block[: closings[-1]])
    return body, parse(body, name, lines_before=begin)
