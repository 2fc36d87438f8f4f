"""The Tab key in real shells: the script is read, words are typed, names are those of now."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

PRESS = """\
source <(afield completion bash)
COMP_WORDS=("${@}")
COMP_CWORD=$(( $# - 1 ))
COMP_LINE="$*"
_afield
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Calls the function that bash calls, with the words as readline takes them apart."""


def servers(sandbox: Sandbox) -> list[int]:
    return [p.pid for p in sandbox.processes() if "afield.server" in command_line(p)]


def bash(sandbox: Sandbox, *words: str) -> list[str]:
    """What bash would offer for a line, the last word of which is being typed."""
    done = subprocess.run(
        ["bash", "--norc", "-c", PRESS, "bash", *words],
        cwd=sandbox.project,
        env=sandbox.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    # Outside of a key press bash has no place for such options, and says so.
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    return done.stdout.decode().split()


@pytest.fixture
def busy(sandbox: Sandbox) -> Sandbox:
    """A controller with a job and a secret."""
    assert sandbox.afield("run", "--name", "tiny", "--", "true").returncode == 0
    assert sandbox.afield("secret", "set", "API_KEY", given=b"v").returncode == 0
    return sandbox


def test_commands_and_options_without_a_controller(sandbox: Sandbox) -> None:
    assert "completion" in bash(sandbox, "afield", "co")
    assert bash(sandbox, "afield", "node", "l") == ["ls", "login"]
    assert bash(sandbox, "afield", "run", "--need") == ["--need"]
    assert bash(sandbox, "afield", "run", "--policy", "re") == ["resume", "rerun", "reapply"]
    assert bash(sandbox, "afield", "logs", "") == []
    assert servers(sandbox) == []


def test_live_names(busy: Sandbox) -> None:
    assert bash(busy, "afield", "node", "show", "") == ["local"]
    assert bash(busy, "afield", "logs", "") == ["1", "@last"]
    assert bash(busy, "afield", "run", "--secret", "A") == ["API_KEY"]
    # Readline takes `--node=lo` and `local:` apart.
    assert bash(busy, "afield", "run", "--node", "=", "lo") == ["local"]
    assert bash(busy, "afield", "ls", "lo") == ["local:"]


def test_names_are_known_after_the_controller_left_and_none_is_started(busy: Sandbox) -> None:
    assert bash(busy, "afield", "logs", "") == ["1", "@last"]
    (pid,) = servers(busy)
    os.kill(pid, 9)
    assert bash(busy, "afield", "logs", "") == ["1", "@last"]
    wait_until(lambda: servers(busy) == [], within_s=20)


def test_a_server_that_hangs_holds_up_nobody(busy: Sandbox) -> None:
    (pid,) = servers(busy)
    os.kill(pid, 19)
    try:
        assert "run" in bash(busy, "afield", "r")
        assert bash(busy, "afield", "node", "rm", "") == []
    finally:
        os.kill(pid, 18)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_the_script(busy: Sandbox) -> None:
    script = "autoload -Uz compinit; compinit -D; source <(afield completion zsh); print -r -- ${_comps[afield]}"
    done = subprocess.run(["zsh", "-f", "-c", script], env=busy.env, capture_output=True, timeout=60, check=False)
    assert done.stdout.decode().strip() == "_afield", done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(busy: Sandbox) -> None:
    script = "afield completion fish | source; complete -C 'afield node show '"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=busy.env, capture_output=True, timeout=60, check=False
    )
    assert done.stdout.decode().split("\t")[0] == "local", done.stderr
