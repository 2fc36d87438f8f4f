"""`afield init` as people run it: what it finds, the one file that it writes, and all that it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from afield.testing.sandbox import Sandbox
from tests.e2e.environment_kit import wheel

GUARD = "if __name__ == '__main__':\n    print('ran')\n"


@pytest.fixture
def project(sandbox: Sandbox) -> Path:
    """A small project with two programs, data, and a Python of its own that has one package."""
    root = sandbox.project
    for name, text in {
        "train.py": f"import pear, helper\n{GUARD}",
        "helper.py": "def late():\n    import quince\n",
        "tools/eval.py": GUARD,
        "tests/test_it.py": GUARD,
        "data/big.bin": "x" * 1000,
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    index = sandbox.root / "index"
    index.mkdir()
    wheel(index, "pear", "2.0")
    uv = ["uv", "--no-config", "--offline"]
    env = {**sandbox.env, "UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run([*uv, "venv", "-q", root / ".venv"], check=True, env=env)
    install: list[str | Path] = [
        "pip",
        "install",
        "-q",
        "--no-index",
        "--find-links",
        index,
        "--python",
        root / ".venv/bin/python",
    ]
    subprocess.run([*uv, *install, "pear"], check=True, env=env)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and ".venv" not in p.parts
    }


def seen(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    done = sandbox.afield("init", "--json", *words)
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_finds_programs_packages_and_data_and_writes_one_file(sandbox: Sandbox, project: Path) -> None:
    before = contents(project)
    found = seen(sandbox)
    assert [p["command"] for p in found["programs"]] == ["train.py", "tools/eval.py"]
    assert found["packages"] == ["pear==2.0"]
    assert found["environment"]["kind"] == "imports"
    assert found["notes"] == ["not installed here, and perhaps not needed: quince"]
    assert [(d["name"], d["bytes"], d["sent"]) for d in found["data"]] == [("data/", 1000, False)]
    after = contents(project)
    assert set(after) - set(before) == {"afield.toml"}
    assert {name: after[name] for name in before} == before
    assert sandbox.afield("config").returncode == 0


def test_imports_that_no_file_names_are_told_and_written_nowhere(sandbox: Sandbox, project: Path) -> None:
    (project / "requirements.txt").write_text("Pear_x\nfig>=1\n")
    found = seen(sandbox, "--dry-run")
    assert (found["environment"]["kind"], found["unnamed"]) == ("requirements.txt", ["pear==2.0"])
    shown = sandbox.afield("init", "--dry-run").stdout.decode()
    assert "no word of it in requirements.txt: pear==2.0" in shown
    (project / "requirements.txt").write_text("# fruit\nPEAR[juice]>=1\n")
    assert seen(sandbox, "--dry-run")["unnamed"] == []
    assert (project / "requirements.txt").read_text() == "# fruit\nPEAR[juice]>=1\n"


def test_it_never_overwrites_unless_told(sandbox: Sandbox, project: Path) -> None:
    (project / "afield.toml").write_text("gpus = 3\n")
    refused = sandbox.afield("init")
    assert (refused.returncode, (project / "afield.toml").read_text()) == (2, "gpus = 3\n")
    assert b"--force" in refused.stderr
    planned = sandbox.afield("init", "--dry-run")
    assert planned.returncode == 0
    assert b"with --force only" in planned.stdout
    assert (project / "afield.toml").read_text() == "gpus = 3\n"
    assert sandbox.afield("init", "--force").returncode == 0
    assert "gpus = 3" not in (project / "afield.toml").read_text()


def test_settings_in_pyproject_are_not_hidden(sandbox: Sandbox, project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.afield]\ngpus = 3\n")
    assert sandbox.afield("init").returncode == 2
    assert not (project / "afield.toml").exists()


def test_what_it_writes_can_be_read_and_used(sandbox: Sandbox, project: Path) -> None:
    (project / "old.yaml").write_text("name: local\nrun_env: {GREETING: 'a \"quoted\" $word'}\nzone: here\n")
    done = sandbox.afield("init", "--from", "old.yaml")
    assert done.returncode == 0, done.stderr
    assert b"zone: not taken over" in done.stdout
    shown = sandbox.afield("config").stdout.decode()
    assert "node\tlocal\t" in shown
    ran = sandbox.afield(
        "run", "--environment", "plain", "--", "python3", "-c", "import os; print(os.environ['GREETING'])"
    )
    assert (ran.returncode, ran.stdout) == (0, b'a "quoted" $word\n'), ran.stderr


def test_home_is_no_project(sandbox: Sandbox) -> None:
    os.rename(sandbox.project, sandbox.root / "kept")
    sandbox.project.symlink_to(sandbox.home)
    done = sandbox.afield("init")
    assert done.returncode == 2
    assert not (sandbox.home / "afield.toml").exists()


def test_a_folder_of_notebooks_and_many_small_files(sandbox: Sandbox) -> None:
    root = sandbox.project
    cell: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": ["import durian"],
    }
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    for name in ("explore.ipynb", "last results (2).ipynb"):
        (root / name).write_text(text)
    (root / "datasets").mkdir()
    for number in range(1000):
        (root / f"datasets/{number}.json").write_text("{}")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    found = seen(sandbox, "--dry-run")
    assert [p["command"] for p in found["programs"]] == ["explore.ipynb", "'last results (2).ipynb'"]
    assert any("durian (imported at explore.ipynb) is not installed here" in note for note in found["notes"])
    assert [(d["name"], d["files"], d["sent"]) for d in found["data"]] == [("datasets/", 1000, True)]
    shown = sandbox.afield("init", "--dry-run").stdout.decode()
    assert ", no commit yet" in shown
    assert "1,000 files: goes with the code: leave it out in .afieldignore" in shown
    (root / "explore.ipynb").write_text("no notebook")
    assert seen(sandbox, "--dry-run")["programs"][0]["command"] == "explore.ipynb"
