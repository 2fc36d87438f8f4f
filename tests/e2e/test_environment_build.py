"""Environments are really built by uv on a node: from each rung, once, whole or not at all. No network is needed."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from afield.environment import detect, uv
from afield.runner import environment
from afield.runner.folder import Paths
from afield.testing.waiting import wait_until
from tests.e2e.environment_kit import wheel

GATED = """
import os, shutil, sys, time, zipfile
HERE = os.path.dirname(os.path.abspath(__file__))
def build_wheel(folder, config_settings=None, metadata_directory=None):
    open({started!r}, "a").write("x")
    while os.path.exists({gate!r}):
        time.sleep(0.01)
    shutil.copy({wheel!r}, folder)
    return os.path.basename({wheel!r})
"""


@dataclass
class Bench:
    """A node's folders and one attempt's code, with an index of small packages of our own."""

    root: Path
    kind: str = "requirements.txt"
    key: str = "k1"
    python: str = ""
    files: list[str] = field(default_factory=lambda: ["requirements.txt"])
    cwd: str = ""
    command: tuple[str, ...] = (sys.executable,)

    def __post_init__(self) -> None:
        self.paths = Paths("store", str(self.root / "node"), str(self.root / "node"))
        self.source = Path(self.paths.job("1.1")) / "src"
        self.source.mkdir(parents=True)
        self.index = self.root / "index"
        self.index.mkdir()

    @property
    def spec(self) -> dict[str, object]:
        place = {"kind": self.kind, "key": self.key, "python": self.python, "files": self.files}
        code = {"workspace": "w", "tree": "t", "cwd": self.cwd}
        return {"store": "store", "job": 1, "attempt": 1, "code": code, "environment": place}

    @property
    def folder(self) -> Path:
        return Path(environment.folder(self.paths, self.spec))

    def put(self, name: str, text: str) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def detected(self, *argv: str, choice: str = "auto") -> None:
        """Take kind, key and files from the ladder, as a client would."""
        found = detect.detect(self.source, self.cwd, argv, choice=choice).environment
        self.kind, self.key, self.files, self.python = str(found.kind), found.key, list(found.files), found.python

    def surroundings(self, extra: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": f"{uv.binary()[1].parent}:{Path(sys.executable).resolve().parent}:{os.defpath}",
            **extra,
            "HOME": str(self.root),
            "PYENV_ROOT": str(self.root / "no-pyenv"),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": str(self.index),
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def start(self, **extra: str) -> subprocess.Popen[bytes]:
        argv, variables = environment.argv(self.paths, self.spec)
        return subprocess.Popen(
            [*self.command, *argv[1:]],
            env=self.surroundings(variables) | extra,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def build(self, **extra: str) -> tuple[int, str]:
        child = self.start(**extra)
        _, err = child.communicate(timeout=60)
        return child.returncode, err.decode()

    def say(self, code: str) -> str:
        """What the environment's Python prints, in the surroundings that a program gets."""
        variables = environment.variables(self.paths, self.spec)
        argv = [environment.python(self.paths, self.spec), "-c", code]
        return subprocess.run(argv, env=variables, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    wheel(made.index, "apple", "1.0")
    wheel(made.index, "pear", "2.0", requires=("apple",))
    return made


@pytest.fixture
def gate(bench: Bench) -> Iterator[Path]:
    """A requirement whose build stands still while this file exists."""
    gate = bench.root / "gate"
    gate.touch()
    made = wheel(bench.root, "gated", "1.0")
    started = str(bench.root / "started")
    backend = GATED.format(started=started, gate=str(gate), wheel=str(made))
    bench.put("gated/backend.py", backend)
    bench.put(
        "gated/pyproject.toml",
        '[project]\nname = "gated"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    )
    bench.put("requirements.txt", "./gated\n")
    yield gate
    gate.unlink(missing_ok=True)


def test_requirements_are_installed_once(bench: Bench) -> None:
    bench.put("requirements.txt", "-r more/base.txt\n")
    bench.put("more/base.txt", "pear\n")
    bench.detected("train.py")
    assert environment.needed(bench.paths, bench.spec)
    status, err = bench.build()
    assert (status, "Installed 2 packages" in err) == (0, True), err
    assert not environment.needed(bench.paths, bench.spec)
    assert bench.say("import pear, apple; print(pear.VERSION, apple.VERSION)") == "2.0 1.0"
    assert list(bench.folder.glob("lib/*/site-packages/__pycache__/pear.*.pyc"))
    assert bench.build() == (0, "afield: made by another job in the meantime\n")


def test_project_with_lock(bench: Bench) -> None:
    bench.put(
        "pyproject.toml",
        '[project]\nname = "own"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["pear", "helper"]\n'
        '[tool.uv.sources]\nhelper = { path = "libs/helper", editable = true }\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    )
    bench.put("src/own/__init__.py", "NAME = 'own'\n")
    bench.put("libs/helper/pyproject.toml", '[project]\nname = "helper"\nversion = "1"\ndependencies = ["apple"]\n')
    bench.put("libs/helper/helper.py", "NAME = 'helper'\n")
    lock = [str(uv.binary()[1]), "lock", "--quiet", "--python", sys.executable]
    subprocess.run(lock, cwd=bench.source, env=bench.surroundings({}), check=True, timeout=60)
    before = snapshot(bench.source)
    bench.detected("train.py")
    assert (bench.kind, bench.files) == ("uv.lock", ["uv.lock", "pyproject.toml", "libs/helper/pyproject.toml"])
    status, err = bench.build()
    assert status == 0, err
    assert snapshot(bench.source) == before
    assert bench.say("import pear, apple, own, helper; print(own.NAME, helper.__file__)") == (
        f"own {bench.source}/libs/helper/helper.py"
    )


def test_project_without_lock_gets_none(bench: Bench) -> None:
    bench.put("pyproject.toml", '[project]\nname = "own"\nversion = "1"\ndependencies = ["apple"]\n')
    bench.detected("train.py")
    status, err = bench.build()
    assert status == 0, err
    assert bench.say("import apple; print(apple.VERSION)") == "1.0"
    assert sorted(os.listdir(bench.source)) == ["pyproject.toml"]


@pytest.mark.parametrize("locked", [False, True], ids=["open", "locked"])
def test_script_header(bench: Bench, locked: bool) -> None:
    header = '# /// script\n# requires-python = ">=3.8"\n# dependencies = ["pear"]\n# ///\nimport pear\n'
    bench.put("bench.py", header)
    if locked:
        lock = [str(uv.binary()[1]), "lock", "--quiet", "--python", sys.executable, "--script", "bench.py"]
        subprocess.run(lock, cwd=bench.source, env=bench.surroundings({}), check=True, timeout=60)
    before = snapshot(bench.source)
    bench.detected("bench.py")
    assert bench.kind == "script"
    status, err = bench.build()
    assert (status, "--frozen" in err) == (0, locked), err
    assert bench.say("import pear; print(pear.VERSION)") == "2.0"
    assert snapshot(bench.source) == before


def test_editable_requirement_is_a_copy_and_the_live_code_wins(bench: Bench) -> None:
    backend = GATED.format(started=str(bench.root / "started"), gate=str(bench.root / "no-gate"), wheel="")
    made = wheel(bench.root, "lib", "1.0", requires=("apple",))
    bench.put("lib/backend.py", backend.replace("''", repr(str(made))))
    bench.put(
        "lib/pyproject.toml",
        '[project]\nname = "lib"\nversion = "1.0"\ndependencies = ["apple"]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    )
    bench.put("lib/lib.py", "VERSION = 'live'\n")
    bench.put("requirements.txt", "-e ./lib\n")
    bench.detected("train.py")
    status, err = bench.build()
    assert status == 0, err
    assert bench.say("import lib, apple; print(lib.VERSION)") == "live"
    assert bench.say("import sys; sys.path = sys.path[3:]; import lib; print(lib.VERSION)") == "1.0"


def test_chosen_python_and_nothing_else(bench: Bench) -> None:
    bench.kind, bench.files, bench.python = "plain", [], f"{sys.version_info[0]}.{sys.version_info[1]}"
    status, err = bench.build()
    assert status == 0, err
    assert bench.say("import sys; print('%d.%d' % sys.version_info[:2])") == bench.python


def test_unknown_package_fails_with_words_and_leaves_nothing(bench: Bench) -> None:
    bench.put("requirements.txt", "quince\n")
    status, err = bench.build()
    assert status == 1
    assert "quince" in err
    assert err.rstrip().splitlines()[-1].startswith("try: ")
    assert not bench.folder.exists()
    assert environment.needed(bench.paths, bench.spec)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_that_nobody_knows_is_named_with_its_cure(bench: Bench, tmp_path: Path) -> None:
    """An index behind a company's own certificates, as uv meets it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=index -addext subjectAltName=IP:127.0.0.1"
    words += f" -addext basicConstraints=critical,CA:FALSE -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    bench.put("requirements.txt", "apple\n")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"https://127.0.0.1:{server.server_port}/simple"
        plain = {"UV_NO_INDEX": "0", "UV_OFFLINE": "0", "UV_FIND_LINKS": "", "SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
        status, err = bench.build(UV_DEFAULT_INDEX=index, UV_HTTP_RETRIES="0", **plain)
        server.shutdown()
    assert status == 1
    assert "UnknownIssuer" in err
    assert "system-certs = true" in err.rstrip().splitlines()[-1]


def test_missing_python_says_to_ask_for_another(bench: Bench) -> None:
    bench.put("requirements.txt", "apple\n")
    bench.python = "3.99"
    status, err = bench.build()
    assert (status, "--python" in err.rstrip().splitlines()[-1]) == (1, True), err


def test_no_uv_has_its_own_status(bench: Bench) -> None:
    bench.put("requirements.txt", "apple\n")
    status, err = bench.build(PATH=str(bench.root))
    assert status == environment.NEEDS_UV, err
    assert err.startswith("afield: need uv ")


def test_sent_uv_is_used(bench: Bench) -> None:
    bench.put("requirements.txt", "apple\n")
    version, path = uv.binary()
    tools = Path(bench.paths.root) / "bin"
    tools.mkdir()
    shutil.copy(path, tools / f"uv-{version}")
    status, err = bench.build(PATH=str(bench.root), PYENV_ROOT=pyenv_like(bench.root))
    assert status == 0, err


def test_two_builders_make_one(bench: Bench, gate: Path) -> None:
    first = bench.start()
    started = bench.root / "started"
    wait_until(started.exists)
    second = bench.start()
    waiting = second.stderr.readline()
    gate.unlink()
    assert b"waiting: another job builds" in waiting
    assert first.wait(60) == 0, first.stderr.read()
    assert second.wait(60) == 0, second.stderr.read()
    assert b"made by another job" in second.stderr.read()
    assert started.read_text() == "x"
    close(first, second)


def test_build_of_a_killed_builder_is_waited_for_and_made_again(bench: Bench, gate: Path) -> None:
    first = bench.start()
    wait_until((bench.root / "started").exists)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(10)
    second = bench.start()
    assert b"waiting: another job builds" in second.stderr.readline()
    assert environment.needed(bench.paths, bench.spec)
    gate.unlink()
    assert second.wait(60) == 0
    assert b"removing what an interrupted build left" in second.stderr.read()
    assert bench.say("import gated; print(gated.VERSION)") == "1.0"
    close(first, second)


def test_killed_tree_is_made_again(bench: Bench, gate: Path) -> None:
    first = bench.start()
    wait_until((bench.root / "started").exists)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)
    gate.unlink()
    assert bench.folder.exists()
    assert environment.needed(bench.paths, bench.spec)
    status, err = bench.build()
    assert (status, "removing what" in err) == (0, True), err
    close(first)


def test_vanished_interpreter_means_build_again(bench: Bench) -> None:
    bench.put("requirements.txt", "apple\n")
    assert bench.build()[0] == 0
    (bench.folder / "bin/python").unlink()
    assert environment.needed(bench.paths, bench.spec)
    assert bench.build()[0] == 0
    assert not environment.needed(bench.paths, bench.spec)


def test_oldest_python_of_a_node_can_build(bench: Bench) -> None:
    old = old_python()
    if old is None:
        pytest.skip("no Python 3.8 on this machine")
    bench.put("requirements.txt", "apple\n")
    bench.command = (old,)
    status, err = bench.build()
    assert status == 0, err


def test_marker_tells_how_it_was_made(bench: Bench) -> None:
    bench.put("requirements.txt", "apple\n")
    assert bench.build()[0] == 0
    record = json.loads((bench.folder / environment.MARKER).read_text())
    assert (record["kind"], record["uv"]) == ("requirements.txt", uv.binary()[0])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def close(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        child.stderr.close()


def pyenv_like(root: Path) -> str:
    """A folder as pyenv keeps it, with the Python of this test as its only version."""
    folder = root / "pyenv" / "versions" / "3.11.99" / "bin"
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return str(root / "pyenv")


def old_python() -> str | None:
    candidates = [shutil.which("python3.8"), *map(str, Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8"))]
    for path in filter(None, candidates):
        found = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
        if found.stdout.startswith("Python 3.8"):
            return path
    return None
