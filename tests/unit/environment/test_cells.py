"""The Python in a notebook: magic is none, and a torn cell hides no other."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from afield.environment.cells import code


def notebook(folder: Path, *sources: str | list[str], kind: str = "code") -> Path:
    path = folder / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": kind, "source": source} for source in sources]}))
    return path


@pytest.mark.parametrize(
    ("sources", "imported"),
    [
        (["import a", "import b"], ["a", "b"]),
        ([["import a\n", "import b"]], ["a", "b"]),
        (["%matplotlib inline\nimport a\n!pip install x\n?a"], ["a"]),
        (["try:\n    !ls\n    import a\nexcept ImportError:\n    %debug"], ["a"]),
        (["%%bash\nimport no", "import a"], ["a"]),
        (["import (", "import a"], ["a"]),
        ([], []),
    ],
)
def test_imports_of_all_cells_are_seen(sources: list[str | list[str]], imported: list[str], tmp_path: Path) -> None:
    tree = ast.parse(code(notebook(tmp_path, *sources)))
    assert [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names] == imported


def test_text_is_no_code(tmp_path: Path) -> None:
    assert code(notebook(tmp_path, "import a", kind="markdown")) == ""


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"cells": [1]}', b'{"cells": 3}', b"\xff"])
def test_what_is_no_notebook_has_no_code(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(data)
    assert code(tmp_path / "a.ipynb") == ""
    assert code(tmp_path / "none.ipynb") == ""
