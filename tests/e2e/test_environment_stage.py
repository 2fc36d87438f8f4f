"""An environment as a stage of a real shepherd: built once, used by the program, its failure is told as setup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afield.environment import detect, uv
from afield.runner import verdict
from tests.e2e.environment_kit import wheel
from tests.e2e.runner_kit import Node

PROGRAM = "import sys, pear, own; print(pear.VERSION, own.NAME, sys.prefix)\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, "pear", "2.0")
    home = tmp_path / "home"
    home.mkdir()
    made = Node(home, environ={"UV_FIND_LINKS": str(index), "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"})
    tools = Path(made.paths.root) / "bin"
    tools.mkdir(parents=True)
    version, path = uv.binary()
    (tools / f"uv-{version}").symlink_to(path)
    yield made
    made.close()


def launch(node: Node, attempt: str, requirements: str) -> dict[str, Any]:
    """Runs train.py of a small project in its environment; the facts at the end."""
    source = Path(node.paths.job(attempt)) / "src"
    (source / "src").mkdir(parents=True)
    (source / "requirements.txt").write_text(requirements)
    (source / "train.py").write_text(PROGRAM)
    (source / "src/own.py").write_text("NAME = 'own'\n")
    found = detect.detect(source, "", ("train.py",)).environment
    place = {"kind": str(found.kind), "key": found.key, "python": found.python, "files": list(found.files)}
    code = {"workspace": "w", "tree": "t", "cwd": ""}
    process = {"rank": 0, "argv": ["train.py"], "variables": {}, "python": True}
    node.launch(attempt, environment=place, code=code, processes=[process])
    return node.until(attempt)


def test_program_runs_in_its_environment_and_the_second_finds_it(node: Node) -> None:
    first = launch(node, "1.1", "pear\n")
    assert verdict.exits(first) == [{"rank": 0, "code": 0, "signal": None}], node.text("1.1", "p0/err")
    assert "environment" in first["stages"]
    assert "Installed 1 package" in node.text("1.1", "stage/environment/err")
    version, name, prefix = node.text("1.1", "p0/out").split()
    assert (version, name) == ("2.0", "own")
    assert prefix.startswith(node.paths.env(""))
    second = launch(node, "2.1", "pear\n")
    assert verdict.exits(second) == [{"rank": 0, "code": 0, "signal": None}]
    assert "environment" not in second["stages"]
    assert node.text("2.1", "p0/out") == node.text("1.1", "p0/out")


def test_environment_that_cannot_be_made_ends_the_attempt_as_setup(node: Node) -> None:
    facts = launch(node, "1.1", "quince\n")
    assert verdict.verdict(facts) == verdict.SETUP_FAILED
    assert facts["final"]["stage"] == "environment"
    assert facts["processes"]["0"]["started"] is None
    assert node.text("1.1", "stage/environment/err").splitlines()[-1].startswith("try: ")
