"""`import afield` in a job: ours where the environment has none, and the one that is installed where it has one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import afield
from afield.transport.bundle import bundle

MODULE = """
import afield as af

@af.function(gpus=1, time="2h")
def train(rate: float) -> float:
    af.current().metric(loss=rate)
    return rate * 2

@af.function
def plain() -> None:
    pass
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the runner has beside it on a node."""
    top = tmp_path_factory.mktemp("node")
    for name, text in json.loads(zlib.decompress(bundle().data)).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top / "lib"


def run(library: Path, statement: str, *words: str, python: str = sys.executable) -> str:
    done = subprocess.run(
        [python, *words, "-c", statement], env={"PYTHONPATH": str(library)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_job_without_afield_finds_ours(library: Path, tmp_path: Path) -> None:
    # -S leaves out what is installed.
    assert run(library, "import afield; print(afield.__file__)", "-S") == str(library / "afield/__init__.py")
    (tmp_path / "work.py").write_text(MODULE)
    said = run(library, f"import sys; sys.path.append({str(tmp_path)!r}); import work; print(work.train(2))", "-S")
    assert said == "4"


def test_an_installed_afield_wins(library: Path) -> None:
    assert run(library, "import afield; print(afield.__file__)") == afield.__file__
    assert run(library, "import afield.sdk.run as r; print(r.__name__)") == "afield.sdk.run"


def test_a_job_is_told_what_it_cannot_do(library: Path, tmp_path: Path) -> None:
    statement = "import afield\ntry: afield.run('x')\nexcept AttributeError as error: print(error)"
    assert "add it to the packages" in run(library, statement, "-S")
    (tmp_path / "work.py").write_text(MODULE)
    statement = f"import sys; sys.path.append({str(tmp_path)!r}); import work\ntry: work.train.submit(1)\n"
    assert "a job cannot submit jobs" in run(library, statement + "except RuntimeError as error: print(error)", "-S")


def test_it_works_under_an_old_python(library: Path, tmp_path: Path) -> None:
    python = shutil.which("pypy3")
    if python is None:
        pytest.skip("pypy3, the oldest Python that is packaged here, is not installed")
    (tmp_path / "work.py").write_text(MODULE)
    statement = f"import sys; sys.path.append({str(tmp_path)!r}); import work; print(work.train(2)); import afield_call"
    assert run(library, statement, "-S", python=python) == "4"
