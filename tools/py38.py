"""Proves that the runner, and what jobs import, would start on a node with Python 3.8 and nothing installed.

Three proofs: the grammar of 3.8 parses it; it imports only the standard library of 3.8 and its own siblings; and vermin
knows no function, argument or syntax in it that came after 3.8.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = tuple(ROOT / "src" / "afield" / name for name in ("runner", "inside"))
TRAVELS = frozenset({"afield.inside.current", "afield.inside.plain", "afield_serve"})
# Newer than 3.8, and asked for by hasattr or getattr before they are used.
GUARDED = ("os.pidfd_open", "signal.pidfd_send_signal")
SINCE_38 = frozenset({"graphlib", "tomllib", "zoneinfo", "annotationlib", "compression"})
LIBRARY = frozenset(sys.stdlib_module_names) - SINCE_38


def foreign(tree: ast.AST, siblings: set[str]) -> Iterator[tuple[int, str]]:
    """(line, module) of each import of something that a bare node does not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.partition(".")[0] not in LIBRARY)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if str(node.module).partition(".")[0] not in LIBRARY and node.module not in TRAVELS:
                yield node.lineno, str(node.module)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [a.name for a in node.names]
            yield from ((node.lineno, "." * node.level + n) for n in names if node.level > 1 or n not in siblings)


def complaints(folder: Path) -> list[str]:
    """One line for each thing that Python 3.8 alone would not understand."""
    found = []
    files = sorted(folder.glob("*.py"))
    siblings = {path.stem for path in files}
    for path in files:
        try:
            tree = ast.parse(path.read_text(), feature_version=(3, 8))
        except SyntaxError as error:
            found.append(f"{path.name}:{error.lineno}: {error.msg}")
            continue
        found += [f"{path.name}:{line}: imports {name}" for line, name in foreign(tree, siblings)]
    return found + newer_library(folder)


def newer_library(folder: Path) -> list[str]:
    """What vermin finds to need more than 3.8."""
    words = [str(Path(sys.executable).parent / "vermin"), "--target=3.8-", "--no-tips", "--violations"]
    words += [word for name in GUARDED for word in ("--exclude", name)]
    done = subprocess.run([*words, str(folder)], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()


def main() -> int:
    """Prints the complaints; 1 when there are some."""
    found = [line for folder in FOLDERS for line in complaints(folder)]
    print(*found, f"py38: {len(found)} complaints" if found else "py38: fine", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
