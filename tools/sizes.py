"""Stops files and functions that have grown too long to read in one sitting.

A file may have 400 lines (a test file 600), a function 40, docstring and decorators counted. Exemptions stand in
exemptions.txt, one a line: `src/afield/x.py 430` for a file, `src/afield/x.py:Name.method 55` for a function. Each
holds the size that is allowed: it may only shrink, and goes away when it is no longer needed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "tools", "examples", "bench")
FILE_STOP, TEST_FILE_STOP, FUNCTION_STOP = 400, 600, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sizes(path: Path, name: str) -> Iterator[tuple[str, int, int]]:
    """(name, lines, allowed) of the file and of each function in it."""
    text = path.read_text()
    yield name, len(text.splitlines()), TEST_FILE_STOP if name.startswith("tests/") else FILE_STOP
    for where, function in functions(ast.parse(text), ()):
        first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
        yield f"{name}:{where}", (function.end_lineno or first) - first + 1, FUNCTION_STOP


def functions(node: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[str, Function]]:
    """Each function below the node with its dotted name."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, Function | ast.ClassDef)
        path = (*inside, child.name) if isinstance(child, Function | ast.ClassDef) else inside
        if named and isinstance(child, Function):
            yield ".".join(path), child
        yield from functions(child, path)


def exemptions(path: Path) -> dict[str, int]:
    """Allowed sizes by name."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return {name: int(size) for name, _, size in (line.rpartition(" ") for line in lines if line)}


def complaints(root: Path) -> list[str]:
    """One line for each size that is too large and each exemption that is too generous."""
    allowed = exemptions(root / "tools" / "exemptions.txt")
    found, used = [], set()
    files = sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py") if "outputs" not in path.parts)
    for path in files:
        for name, lines, stop in sizes(path, path.relative_to(root).as_posix()):
            if lines <= stop:
                continue
            used.add(name)
            limit = allowed.get(name, stop)
            if lines > limit:
                found.append(f"{name}: {lines} lines, {limit} allowed")
            elif lines < limit:
                found.append(f"{name}: its exemption says {limit}, it has {lines}: write {lines} in exemptions.txt")
    found += [f"{name}: needs no exemption any more, remove it" for name in sorted(set(allowed) - used)]
    return found


def main() -> int:
    """Prints the complaints; 1 when there are some."""
    found = complaints(ROOT)
    print(*found, f"sizes: {len(found)} complaints" if found else "sizes: fine", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
