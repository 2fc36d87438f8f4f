"""Environments from imports, and stages around a job, through the installed command on real hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from tests.e2e.environment_kit import wheel

PROGRAM = "import pear, helper\nprint(pear.VERSION, helper.fig.VERSION)\n"


def index_of(home: Path, *packages: tuple[str, str]) -> Path:
    """Packages of our own as the only ones that uv finds for this home."""
    folder = home / "index"
    folder.mkdir(exist_ok=True)
    for name, version in packages:
        wheel(folder, name, version)
    settings = home / ".config/uv/uv.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f'no-index = true\nfind-links = ["{folder}"]\npython-downloads = "never"\n')
    return folder


@pytest.fixture
def host(hosts: Hosts, sandbox: Sandbox) -> Host:
    """A node whose uv knows two packages, in two versions each."""
    chosen = hosts[0]
    index_of(chosen.home, ("pear", "1.0"), ("pear", "2.0"), ("fig", "1.0"), ("fig", "2.0"))
    for path in (chosen.home / "index", chosen.home / ".config"):
        subprocess.run(["chown", "-R", f"{chosen.user.pw_uid}:{chosen.user.pw_gid}", path], check=True)
    done = sandbox.afield("node", "add", chosen.name)
    assert done.returncode == 0, done.stderr
    return chosen


def install(sandbox: Sandbox, *packages: str) -> None:
    """Into the project's own environment, which is what the user works with."""
    index = index_of(sandbox.home, ("pear", "1.0"), ("pear", "2.0"), ("fig", "1.0"), ("fig", "2.0"))
    python = sandbox.project / ".venv/bin/python"
    env = {**sandbox.env, "UV_OFFLINE": "1"}
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", sandbox.project / ".venv"], check=True, env=env)
    words = ["pip", "install", "-q", "--find-links", str(index), "--python", str(python), *packages]
    subprocess.run(["uv", *words], check=True, env=env)


def test_the_versions_of_here_are_those_of_the_node(sandbox: Sandbox, host: Host) -> None:
    install(sandbox, "pear==1.0", "fig==2.0")
    (sandbox.project / "train.py").write_text(PROGRAM)
    (sandbox.project / "helper.py").write_text("import fig\n")
    done = sandbox.afield("run", "-n", host.name, "train.py")
    assert (done.returncode, done.stdout) == (0, b"1.0 2.0\n"), done.stderr.decode()
    assert b"imports (fig 2.0, pear 1.0), python 3" in done.stderr
    shown = sandbox.afield("show", "@last").stdout.decode()
    assert "imports fig==2.0 pear==1.0" in shown
    assert sorted(p.name for p in sandbox.project.iterdir() if p.name != "outputs") == [
        ".venv",
        "helper.py",
        "train.py",
    ]
    # Later versions here make another environment there; a job that is run again keeps its own.
    install(sandbox, "pear==2.0")
    assert sandbox.afield("run", "-q", "-n", host.name, "train.py").stdout == b"2.0 2.0\n"
    assert sandbox.afield("rerun", "-q", "1").stdout == b"1.0 2.0\n"


def test_requirements_come_before_imports_and_stay_as_they_are(sandbox: Sandbox, host: Host) -> None:
    install(sandbox, "pear==1.0")
    text = "pear==2.0\r\nfig\n"
    (sandbox.project / "requirements.txt").write_bytes(text.encode())
    (sandbox.project / "train.py").write_text(PROGRAM.replace("helper.fig", "pear").replace(", helper", ""))
    done = sandbox.afield("run", "-q", "-n", host.name, "train.py")
    assert done.stdout == b"2.0 2.0\n", done.stderr
    assert (sandbox.project / "requirements.txt").read_bytes() == text.encode()


def test_a_package_that_is_not_installed_here_is_named(sandbox: Sandbox, host: Host) -> None:
    install(sandbox, "pear==1.0")
    (sandbox.project / "train.py").write_text("import pear\nimport quince\n")
    done = sandbox.afield("run", "-n", host.name, "train.py")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "quince (imported at train.py:2) is not installed here" in said
    assert "nothing is installed for the imports" in said
    refused = sandbox.afield("run", "-n", host.name, "--environment", "imports", "train.py")
    assert refused.returncode == 2
    assert "quince" in refused.stderr.decode()


def test_code_that_arrives_is_what_was_asked_for(sandbox: Sandbox, host: Host) -> None:
    """Modules and what .afieldinclude names arrive; what .afieldignore names and environments do not."""
    project = sandbox.project
    install(sandbox, "pear==1.0")
    for name in ("train.py", "helper.py", "secret.py", "data/words.txt", "data/other.txt"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("")
    (project / ".afieldignore").write_text("secret.py\n")
    (project / ".afieldinclude").write_text("data/words.txt\n")
    listed = ["find", ".", "-name", "*.py", "-o", "-name", "*.txt"]
    done = sandbox.afield("run", "-q", "-n", host.name, "--", *listed)
    assert sorted(done.stdout.decode().split()) == ["./data/words.txt", "./helper.py", "./train.py"], done.stderr
    (project / "helper.py").unlink()
    again = sandbox.afield("run", "-n", host.name, "--", *listed)
    assert sorted(again.stdout.decode().split()) == ["./data/words.txt", "./train.py"]
    assert b"sent what differs" in again.stderr


def test_a_setup_is_done_once_until_what_it_depends_on_changes(sandbox: Sandbox, host: Host) -> None:
    project = sandbox.project

    def done() -> int:
        ran = sandbox.afield("run", "-q", "-n", host.name, "--setup", "sh prepare.sh", "--", "cat", ledger)
        assert ran.returncode == 0, ran.stderr.decode()
        return len(ran.stdout.splitlines())

    ledger = str(host.home / "ledger")
    (project / "prepare.sh").write_text(f"echo done >> {ledger}\n")
    assert [done(), done()] == [1, 1]
    (project / "prepare.sh").write_text(f"# newer\necho done >> {ledger}\n")
    assert [done(), done()] == [2, 2]
    (project / "other.py").write_text("")
    assert done() == 2
    # The same words in another project mean another thing.
    shutil.copytree(project, sandbox.root / "second", ignore=shutil.ignore_patterns("outputs"))
    project.rename(sandbox.root / "first")
    (sandbox.root / "second").rename(sandbox.root / "moved")
    os.symlink(sandbox.root / "moved", project)
    assert [done(), done()] == [3, 3]


def test_a_preflight_goes_before_every_attempt(sandbox: Sandbox, host: Host) -> None:
    ledger = str(host.home / "before")
    for count in (1, 2):
        words = ("--preflight", f"echo x >> {ledger}", "--", "cat", ledger)
        assert sandbox.afield("run", "-q", "-n", host.name, *words).stdout == b"x\n" * count


def test_arguments_arrive_unchanged(sandbox: Sandbox, host: Host) -> None:
    words = ["it's", '"$HOME"', "a  b", "two\nlines", "*", "\\", "", "ü", "$(id)"]
    program = "import sys, json; print(json.dumps(sys.argv[1:]))"
    done = sandbox.afield("run", "-q", "-n", host.name, "-e", "X=1 2", "--", "python3", "-c", program, *words)
    assert json.loads(done.stdout) == words
