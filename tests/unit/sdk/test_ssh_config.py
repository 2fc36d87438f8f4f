"""Nodes as hosts for ssh: the file is what the real ssh makes of a target; the user's own gets one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from afield.sdk import ssh_config

USERS = """\
Host gate
    HostName gate.lab.invalid
    User me
    Port 2222
    IdentityFile "~/my keys/lab"

Host *.lab.invalid box1
    ProxyJump gate
    ForwardAgent no
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of one's own. ssh itself asks the password file for it, so it is told its configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "lab").write_text(USERS)
    monkeypatch.setenv("AFIELD_SSH_CONFIG", str(tmp_path / "lab"))
    return tmp_path


def node(name: str, target: str, backend: str = "ssh") -> dict[str, str]:
    return {"name": name, "target": target, "backend": backend}


def resolved(config: Path, host: str) -> dict[str, str]:
    """What ssh makes of a host by this configuration."""
    done = subprocess.run(["ssh", "-F", config, "-G", host], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_reaches_a_node_by_its_name_as_by_its_target(home: Path) -> None:
    nodes = [node("n1", "ana@box1"), node("n2", "deep.lab.invalid"), node("n3", "gate"), node("local", "", "local")]
    written = home / "written"
    written.write_text(ssh_config.text(nodes))
    for name, target in (("n1", "ana@box1"), ("n2", "deep.lab.invalid"), ("n3", "gate")):
        ours, theirs = resolved(written, name), resolved(home / "lab", target)
        for key in ("hostname", "user", "port", "proxyjump", "identityfile"):
            assert ours.get(key) == theirs.get(key), (name, key)
    assert "Host local" not in written.read_text()


def test_what_every_host_has_is_not_repeated() -> None:
    block = ssh_config.text([node("n1", "ana@plain.invalid")])
    assert [line.strip() for line in block.splitlines() if line.startswith("    ")] == [
        "user ana",
        "hostname plain.invalid",
    ]


@pytest.mark.parametrize("before", ["", "Host a\n    User b\n", "# no end of line", "Include other\n\n\n"])
def test_the_line_comes_once_in_front_and_goes_without_a_trace(before: str, home: Path) -> None:
    users = home / ".ssh" / "config"
    if before:
        users.parent.mkdir()
        users.write_text(before)
        users.chmod(0o644)
    for content in ("one\n", "two\n"):
        ssh_config.install(content)
    assert ssh_config.ours().read_text() == "two\n"
    lines = users.read_text().splitlines()
    assert lines[:2] == [ssh_config.SAYS, ssh_config.include()]
    assert users.read_text().endswith(before)
    assert lines.count(ssh_config.include()) == 1
    assert users.stat().st_mode & 0o777 == (0o644 if before else 0o600)
    assert ssh_config.remove()
    assert (users.read_text() if users.exists() else "") == before
    assert not ssh_config.ours().exists()
    assert not ssh_config.remove()


def test_a_config_that_is_a_link_stays_one(home: Path) -> None:
    real = home / "dotfiles"
    real.write_text("Host a\n")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").symlink_to(real)
    ssh_config.install("x\n")
    assert (home / ".ssh" / "config").is_symlink()
    assert ssh_config.include() in real.read_text()
