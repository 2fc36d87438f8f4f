"""The start on a node: one command for every login shell, noise before it, and each way in which it cannot work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afield.runner import wire
from afield.transport.bundle import bundle
from afield.transport.command import COMMAND, MARKER, NO_PYTHON_STATUS

SHELLS = ("sh", "bash", "dash", "zsh", "csh", "tcsh", "fish")
RC_FILES = {
    "bash": (".bashrc", "echo welcome; printf noise"),
    "zsh": (".zshenv", "echo welcome; printf noise"),
    "csh": (".cshrc", "echo welcome; printf noise"),
    "tcsh": (".tcshrc", "echo welcome; printf noise"),
    "fish": (".config/fish/config.fish", "echo welcome; printf noise"),
}


def order() -> bytes:
    ours = bundle()
    return ours.boot + f"{ours.digest} {len(ours.data)} st\n".encode()


def start(shell: str, home: Path, given: bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The fixed command as sshd would have a login shell read it; bash is made to believe that it is one of sshd's."""
    like_sshd = {"SSH_CLIENT": "192.0.2.1 1 22", "SHLVL": "0"} if shell == "bash" else {}
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], **like_sshd, **variables}
    argv = [shutil.which(shell) or shell, "-c", COMMAND]
    return subprocess.run(argv, input=given, capture_output=True, env=environment, timeout=60, check=False)


def after_marker(output: bytes) -> bytes:
    assert MARKER in output, output
    return output.partition(MARKER)[2].partition(b"\n")[2]


def hello(output: bytes) -> dict[str, object]:
    ((head, _),) = wire.Decoder().feed(output)
    return head


def programs(folder: Path, **scripts: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_starts_the_runner(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if shell in RC_FILES:
        name, text = RC_FILES[shell]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    first = start(shell, tmp_path, order() + bundle().data)
    said = after_marker(first.stdout)
    assert said.startswith(b"need\nhave\n"), (said, first.stderr)
    assert hello(said.removeprefix(b"need\nhave\n"))["version"] == bundle().digest
    if shell in ("zsh", "csh", "tcsh", "fish"):
        assert first.stdout.startswith(b"welcome\nnoise")
    second = start(shell, tmp_path, order())
    assert after_marker(second.stdout).startswith(b"have\n")
    assert (second.returncode, second.stderr) == (0, b"")


def test_the_command_is_one_that_all_shells_read_alike():
    assert COMMAND.count("'") == 2
    assert not set("!\\\n") & set(COMMAND)
    assert len(COMMAND) < 1000  # an old csh takes no longer words


def test_no_python_is_said_with_its_status(tmp_path):
    done = start("sh", tmp_path, order(), PATH=programs(tmp_path / "bin"))
    assert (done.stdout, done.returncode) == (b"afield-nopython\n", NO_PYTHON_STATUS)


def test_an_old_python_is_named(tmp_path):
    old = programs(tmp_path / "bin", python3='[ "$1" = -V ] && echo Python 3.6.8 || exit 1', python="exit 1")
    done = start("sh", tmp_path, order(), PATH=old)
    assert done.stdout.startswith(b"afield-nopython python3 is Python 3.6.8")
    assert done.returncode == NO_PYTHON_STATUS


def test_shims_that_lead_nowhere_are_passed_over(tmp_path):
    path = programs(tmp_path / "bin", python3="exit 127", **{"python3.12": f'exec {sys.executable} "$@"'})
    done = start("sh", tmp_path, order() + bundle().data, PATH=f"{path}:/bin")
    assert after_marker(done.stdout).startswith(b"need\nhave\n"), (done.stdout, done.stderr)


def test_a_real_old_python_is_refused_by_the_command(tmp_path):
    found = sorted(Path.home().glob(".pyenv/versions/3.[67].*/bin/python3"))
    if not found:
        pytest.skip("no Python 3.6 or 3.7 is installed")
    done = start("sh", tmp_path, order(), PATH=programs(tmp_path / "bin", python3=f'exec {found[0]} "$@"'))
    assert done.stdout.startswith(b"afield-nopython python3 is Python 3.")


def test_the_runner_starts_on_the_oldest_python(tmp_path):
    found = sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python3")) or [Path(shutil.which("python3.8") or "")]
    if not found[0].is_file():
        pytest.skip("Python 3.8 is not installed")
    path = programs(tmp_path / "bin", python3=f'exec {found[0]} "$@"')
    given = order() + bundle().data + wire.pack({"id": 1, "do": "probe"}) + wire.pack({"id": 2, "do": "ping"})
    done = start("sh", tmp_path, given, PATH=path)
    said = after_marker(done.stdout).removeprefix(b"need\nhave\n")
    heads = [head for head, _ in wire.Decoder().feed(said)]
    assert heads[0]["python"].startswith("3.8.")
    assert {"re": 2} in heads, (heads, done.stderr)


def test_a_bundle_that_was_cut_or_changed_is_refused(tmp_path):
    changed = bytes([bundle().data[0] ^ 1]) + bundle().data[1:]
    done = start("sh", tmp_path, order() + changed)
    assert b"afield-badbundle digest differs" in done.stdout
    assert done.returncode == 93
    start("sh", tmp_path, order() + bundle().data[:-10])
    assert not list((tmp_path / ".afield" / "r").iterdir())


def test_a_bundle_that_a_cleaner_damaged_is_sent_again(tmp_path):
    start("sh", tmp_path, order() + bundle().data)
    code = tmp_path / ".afield" / "r" / bundle().digest / "afield_runner"
    (code / "wire.py").unlink()
    done = start("sh", tmp_path, order() + bundle().data)
    assert after_marker(done.stdout).startswith(b"need\nhave\n")
    assert (code / "wire.py").exists()
    assert [path.name for path in code.parent.parent.iterdir()] == [bundle().digest]


def test_everything_of_ours_is_for_the_owner_only(tmp_path):
    start("sh", tmp_path, order() + bundle().data)
    places = [tmp_path / ".afield", *(tmp_path / ".afield").rglob("*")]
    assert [path for path in places if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("kind", ["file", "missing"])
def test_a_home_that_cannot_hold_our_folder_is_said(tmp_path, kind):
    home = tmp_path / "home" if kind == "file" else Path("/proc/nowhere")
    if kind == "file":
        home.write_text("")
    done = start("sh", home, order())
    assert b"afield-nofolder E" in done.stdout
    assert done.returncode == 92
