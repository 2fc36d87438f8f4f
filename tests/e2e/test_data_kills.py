"""SIGKILL where data gets its name on a node, before and after: nothing is half there, nothing is left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

WHEN = pytest.mark.parametrize("after", ["", "+"], ids=["before", "after"])


@pytest.fixture
def armed(tmp_path: Path) -> Path:
    """A file put here kills the first process of ours that comes to the label that it is named after."""
    return tmp_path


@pytest.fixture
def sandbox(armed: Path) -> Iterator[Sandbox]:
    with Sandbox(variables={"AFIELD_KILL": f"@{armed}"}) as made:
        yield made


def fell(armed: Path, label: str) -> bool:
    """Whether somebody was killed there."""
    return not (armed / label).exists() and bool(list(armed.glob(f"{label}=*")))


def area(sandbox: Sandbox) -> Path:
    """Where this machine, as a node, keeps its data."""
    return Path(json.loads(sandbox.afield("ls", "local:", "--json").stdout)["places"][0]["path"]) / "data"


@WHEN
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_push_is_whole_or_not_there(kind: str, after: str, sandbox: Sandbox, armed: Path) -> None:
    folder = sandbox.project / "d"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(100_000))
    (folder / "link").symlink_to("file")
    (armed / f"data.{kind}{after}").touch()
    wait_until(lambda: sandbox.afield("push", "d", "local:data/").returncode == 0, show=sandbox.story)
    assert fell(armed, f"data.{kind}{after}")
    there = area(sandbox) / "d"
    assert sorted(p.name for p in there.iterdir()) == ["file", "link"]
    assert (there / "link").read_bytes() == (folder / "file").read_bytes()


@WHEN
def test_a_download_is_whole_or_not_there(after: str, sandbox: Sandbox, armed: Path, tmp_path: Path) -> None:
    source = tmp_path / "web"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(3_000_000))
    words = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "-d", str(source), "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        (armed / f"data.fetch{after}").touch()
        url = f"http://127.0.0.1:{port}/big"
        wait_until(lambda: sandbox.afield("fetch", "-n", "local", url).returncode == 0, show=sandbox.story)
        server.terminate()
    assert fell(armed, f"data.fetch{after}")
    assert [p.name for p in area(sandbox).iterdir()] == ["big"]
    assert (area(sandbox) / "big").read_bytes() == (source / "big").read_bytes()


@WHEN
def test_what_a_job_kept_is_handed_on_whole(after: str, sandbox: Sandbox, armed: Path) -> None:
    keep = sandbox.afield("run", "--", "sh", "-c", 'echo kept > "$KEEP_DIR/x"')
    assert keep.returncode == 0, keep.stderr
    (armed / f"keep.take{after}").touch()
    done = sandbox.afield("run", "--continue", "1", "--", "sh", "-c", 'cat "$KEEP_DIR/x"')
    assert (done.stdout, done.returncode) == (b"kept\n", 0), done.stderr
    assert fell(armed, f"keep.take{after}")
