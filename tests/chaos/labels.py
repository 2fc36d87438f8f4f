"""All labels of kill points, read from the source: what has none is not part of the campaign, and a test says so.

`case.label("x")` is `shepherd.x`; in what a keeper goes on with after a killed shepherd it is `keeper.x` too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import afield

SOURCE = Path(afield.__file__).parent
BOTH = ("watch.py", "case.py", "adopt.py")
"""Where shepherd and keeper run the same lines."""

DURABLE = ("Write", "Append", "Program", "Spawn", "Tell", "Open", "Answer")
"""Effects that others can see afterwards: each must carry a label."""

ACTS = ("rename", "replace", "fork")
"""Calls of `os` outside the effects that others can see afterwards."""

PERFORMERS = (
    "effects.py",
    "points.py",
    "real.py",
    "real_door.py",
    "real_exec.py",
    "real_files.py",
    "real_process.py",
    "real_wait.py",
)
BARE = {
    ("boot.py", "unpack"): "it runs before any of our modules is there; a folder without its list of files is none",
    ("boot.py", "settle"): "see unpack",
    ("door.py", "_in_scope"): "systemd-run is started by it, the keeper itself is behind link.keeper",
}


def sources(folder: str = "") -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package, or of one of its folders."""
    for path in sorted((SOURCE / folder).rglob("*.py")):
        if "testing" not in path.parts:
            yield path, ast.parse(path.read_text())


def labels() -> set[str]:
    """Every label that stands in the source."""
    return {label for path, tree in sources() for node in ast.walk(tree) for label in _of(node, path)}


def _of(node: ast.AST, path: Path) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if keyword.arg == "label" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
            yield str(keyword.value.value)
    text = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    last = node.args[-1].value if node.args and isinstance(node.args[-1], ast.Constant) else None
    match _name(node.func):
        case "passes" | "around" if isinstance(text, str):
            yield text.removesuffix("+")
        case "label" if isinstance(text, str):
            yield from _roles(path, text)
        case "put" | "record" if isinstance(last, str) and path.name in (*BOTH, "shepherd.py", "stages.py"):
            yield from _roles(path, last)
        case "put" | "raise_high_water" if isinstance(last, str) and "." in last:
            yield last
        case "write_seal" if isinstance(last, str):
            yield f"{last}.seal"
        case "write_seal" if path.name in BOTH:
            yield from _roles(path, "seal")


def _roles(path: Path, name: str) -> Iterator[str]:
    yield f"shepherd.{name}"
    if path.name in BOTH:
        yield f"keeper.{name}"


def unlabelled() -> list[str]:
    """Acts that others can see and that no label stands at."""
    found = []
    for path, tree in sources("runner"):
        if path.name in PERFORMERS:
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and (path.name, function.name) not in BARE:
                found += [f"{path.name}:{line}" for line in _bare(function)]
    return found


def _bare(function: ast.FunctionDef) -> Iterator[int]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    guarded = any(_name(call.func) in ("passes", "around") for call in calls)
    for call in calls:
        effect = isinstance(call.func, ast.Name) and call.func.id in DURABLE
        if effect and not any(k.arg == "label" for k in call.keywords):
            yield call.lineno
        act = isinstance(call.func, ast.Attribute) and call.func.attr in ACTS and _name(call.func.value) == "os"
        if act and not guarded:
            yield call.lineno


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
