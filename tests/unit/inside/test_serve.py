"""The programs of jobs with a page, where what they need is not there, and what they leave for their owner alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from afield.inside import serve

INSIDE = Path(serve.__file__).parent


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    """The programs as they lie on a node."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for name in ("serve", "execute"):
        (folder / f"afield_{name}.py").write_text((INSIDE / f"{name}.py").read_text())
    return folder


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (("afield_serve", "jupyter"), "jupyterlab"),
        (("afield_serve", "tensorboard", "/x"), "tensorboard"),
        (("afield_execute", "a.ipynb"), "nbclient"),
    ],
)
def test_a_python_that_lacks_the_program_says_so(words: tuple[str, ...], package: str, lib: Path) -> None:
    variables = {"PYTHONPATH": str(lib), "JOB_DIR": str(lib), "PATH": os.environ["PATH"]}
    bare = [sys.executable, "-S", "-m", *words]
    done = subprocess.run(bare, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"afield: {package} is not installed in {sys.executable}" in done.stderr
    assert "try: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (lib / serve.OFFER).exists(), "what is not there offers nothing"


def test_an_offer_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DIR", str(tmp_path))
    old = os.umask(0)
    try:
        for place in ("/run/1", "/run/2"):
            serve.offer("jupyter", place, 8888, "lab", "api")
    finally:
        os.umask(old)
    path = tmp_path / serve.OFFER
    assert json.loads(path.read_text())["place"] == "/run/2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [serve.OFFER]


@pytest.mark.parametrize("deep", [False, True])
def test_sockets_lie_where_their_paths_are_short_enough(deep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    import tempfile

    top = tempfile.mkdtemp(dir="/tmp")
    job = os.path.join(top, "x" * 60) if deep else top
    os.makedirs(job, exist_ok=True)
    monkeypatch.setenv("JOB_DIR", job)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "")
    try:
        for _ in range(2):
            place = serve.sockets()
            assert place.startswith(job) is not deep
            assert os.stat(place).st_mode & 0o777 == 0o700
            assert len(os.fsencode(f"{place}/kernel-{'0' * 36}-ipc-5")) <= 107
            assert os.environ["JUPYTER_RUNTIME_DIR"] == place
            Path(place, "left").touch()
            if deep:
                shutil.rmtree(place)
    finally:
        shutil.rmtree(top)
