"""What the ladder keeps goes to a folder of the test; the active Python has only what the test puts there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Python:
    """A virtual environment whose packages are records only: their code is never looked at."""

    folder: Path

    @property
    def site(self) -> Path:
        """Where packages lie."""
        return next(self.folder.glob("lib/python3*/site-packages"))

    def add(self, name: str, version: str, *files: str, direct: object = None, programs: str = "") -> None:
        """A package with these files."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files or (f"{name}/__init__.py",)))
        if direct:
            (info / "direct_url.json").write_text(json.dumps(direct))
        if programs:
            (info / "entry_points.txt").write_text(f"[other]\nx = y:z\n[console_scripts]\n{programs} = a:main\n")


@pytest.fixture(scope="session")
def _bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python") / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


@pytest.fixture(autouse=True)
def _apart(_bare: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIELD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("VIRTUAL_ENV", str(_bare))


@pytest.fixture
def python(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Python:
    """An active Python of the test's own."""
    folder = tmp_path_factory.mktemp("python") / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(folder))
    return Python(folder)
