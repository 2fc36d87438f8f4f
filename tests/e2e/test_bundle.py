"""A bundle runs where there is no afield, with its code, its variables and its environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from afield.testing.sandbox import Sandbox


def unpacked(sandbox: Sandbox, tmp_path: Path, *words: str) -> Path:
    done = sandbox.afield("bundle", "-o", "b.tar.gz", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"b.tar.gz\n"
    subprocess.run(["tar", "xzf", sandbox.project / "b.tar.gz", "-C", tmp_path], check=True)
    return tmp_path / "b" / "run.sh"


def ran(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(script.parent)}
    return subprocess.run([script, *words], env=env, cwd="/", capture_output=True, text=True, check=False)


def test_it_runs_the_code_as_it_was_with_odd_words(sandbox: Sandbox, tmp_path: Path) -> None:
    (sandbox.project / "sub").mkdir()
    (sandbox.project / "sub/helper.sh").write_text('echo "$1|$2|$X"; echo r > "$OUTPUT_DIR/r"; exit 3\n')
    (sandbox.project / "sub/helper.sh").chmod(0o755)
    (sandbox.project / "link").symlink_to("sub/helper.sh")
    (sandbox.project / "outputs").mkdir()
    (sandbox.project / "outputs/old").write_text("no part of the code")
    script = unpacked(sandbox, tmp_path, "-e", "X=a 'b' $c", "--", "sh", "link", 'it\'s "1"')
    (sandbox.project / "sub/helper.sh").write_text("exit 9\n")
    done = ran(script, "more")
    assert (done.returncode, done.stdout) == (3, "it's \"1\"|more|a 'b' $c\n"), done.stderr
    assert (script.parent / "outputs/r").read_text() == "r\n"
    assert not (script.parent / "code/outputs").exists()


@pytest.mark.parametrize("options", [(), ("--environment", "none")])
def test_a_script_runs_under_python(options: tuple[str, ...], sandbox: Sandbox, tmp_path: Path) -> None:
    (sandbox.project / "train.py").write_text("import sys, helper\nprint(helper.word, *sys.argv[1:])\n")
    (sandbox.project / "helper.py").write_text("word = 'hi'\n")
    script = unpacked(sandbox, tmp_path, *options, "train.py", "--lr", "3")
    assert ran(script).stdout == "hi --lr 3\n"


def test_without_what_it_needs_it_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    (sandbox.project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\ndependencies = ["six"]\n')
    (sandbox.project / "train.py").write_text("import six\n")
    script = unpacked(sandbox, tmp_path, "train.py")
    bare = {"PATH": str(tmp_path / "nothing"), "HOME": str(tmp_path)}
    shell = subprocess.run(["/bin/sh", "-n", script], env=bare, check=False)
    assert shell.returncode == 0
    assert "uv pip install" in script.read_text()
    assert 'need uv "' in script.read_text()


def test_it_begins_with_what_a_job_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    write = 'mkdir "$KEEP_DIR/deep"; echo one > "$KEEP_DIR/deep/a"; ln -s deep/a "$KEEP_DIR/l"'
    assert sandbox.afield("run", "--", "sh", "-c", write).returncode == 0
    read = 'echo $CONTINUE_JOB_NUMBER; cat "$KEEP_DIR/l"; echo two > "$KEEP_DIR/deep/a"'
    script = unpacked(sandbox, tmp_path, "--continue", "@last", "--", "sh", "-c", read)
    assert [ran(script).stdout, ran(script).stdout] == ["1\none\n", "1\ntwo\n"]
    wrong = [sandbox.afield("bundle", "--continue", word, "true") for word in ("99", "train")]
    assert [done.returncode for done in wrong] == [3, 2], [done.stderr for done in wrong]
    assert b"'train' is no job" in wrong[1].stderr
