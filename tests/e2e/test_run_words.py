"""What `afield run` says of the code: which commit, how many edits, what is left out, and that only once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from afield.testing.hosts import Host
from afield.testing.sandbox import Sandbox


def git(folder: Path, *words: str) -> None:
    known = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, env={**os.environ, **known})


def said(sandbox: Sandbox, *words: str) -> str:
    done = sandbox.afield("run", *words, "--", "true")
    assert done.returncode == 0, done.stderr
    return done.stderr.decode()


def test_the_title_tells_of_edits(sandbox: Sandbox) -> None:
    folder = sandbox.project
    assert said(sandbox).splitlines()[0] == "job 1"
    git(folder, "init", "-q")
    (folder / "train.py").write_text("print(1)\n")
    (folder / "old.py").write_text("")
    git(folder, "add", "train.py", "old.py")
    git(folder, "commit", "-qm", "x")
    commit = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, check=True).stdout[:7]
    title = f"job {{}} · commit {commit.decode()}"
    (folder / "outputs").mkdir(exist_ok=True)
    (folder / "outputs" / "result").write_text("no code")
    assert said(sandbox).splitlines()[0] == title.format(2)
    (folder / "train.py").write_text("print(2)\n")
    assert said(sandbox).splitlines()[0] == title.format(3) + " + 1 edited file"
    (folder / "new.py").write_text("")
    (folder / "old.py").unlink()
    assert said(sandbox).splitlines()[0] == title.format(4) + " + 3 edited files"
    assert sandbox.afield("rerun", "4").stderr.decode().splitlines()[0] == "job 5 · job 4 again"
    assert said(sandbox, "--no-sync").splitlines()[0] == "job 6 · as in job 5"


def test_what_is_left_out_is_said_once_and_when_it_changes(sandbox: Sandbox) -> None:
    (sandbox.project / "data").mkdir()
    (sandbox.project / "data" / "x").write_text("1")
    line = "left out: data/"
    assert line in said(sandbox, "--dry-run"), "a plan tells everything"
    assert line in said(sandbox)
    assert line not in said(sandbox)
    assert line in said(sandbox, "--dry-run")
    mark = sandbox.project / "env" / "pyvenv.cfg"
    mark.parent.mkdir()
    mark.write_text("")
    assert "left out: env/" in said(sandbox)
    assert "left out" not in said(sandbox)
    mark.unlink()
    assert line in said(sandbox)
    assert "left out" not in said(sandbox, "-q")


def test_a_request_in_words(sandbox: Sandbox) -> None:
    assert "request:   1 process, no devices\n" in said(sandbox, "--dry-run")
    said(sandbox, "--request", "2:[cpu=0.5]")
    assert "2 processes, each with 0.5 cores (2:[cpu=0.5])" in sandbox.afield("show", "1").stdout.decode()


def test_the_first_line_says_why_that_node(sandbox: Sandbox, host: Host) -> None:
    """Both are this machine: equal but for the moment's free disk, so the nearest is taken, again and again."""
    for _ in range(3):
        done = sandbox.afield("run", "--", "sh", "-c", "echo $AFIELD_NODE")
        assert done.stdout == b"local\n"
        assert b"machine   local; nearest of 2 that fit" in done.stderr
    done = sandbox.afield("run", "-n", host.name, "--", "true")
    assert b"that fit" not in done.stderr
