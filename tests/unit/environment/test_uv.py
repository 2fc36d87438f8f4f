"""uv travels to a node in pieces, once, and only where it can run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from afield.environment import uv
from afield.errors import SetupFailed
from afield.model.task import Environment, EnvironmentKind
from afield.runner import environment, files


class Node:
    """The receiving half of the runner, without a connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pieces = 0

    async def call(self, do: str, data: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        assert do == "uv.put"
        self.pieces += 1
        files.take_uv(str(self.folder), fields, data)
        return {}, b""


def facts(**changes: str) -> dict[str, Any]:
    return {"uv": "", "arch": os.uname().machine, "system": os.uname().sysname, **changes}


@pytest.mark.parametrize("has", ["", "0.4.2", "unknown"])
def test_uv_is_sent_whole_and_once(tmp_path: Path, has: str) -> None:
    node, known = Node(tmp_path / "bin"), facts(uv=has)
    anyio.run(uv.ensure, node, known)
    version, path = uv.binary()
    sent = Path(environment.uv_places(str(tmp_path / "bin"), "")[0])
    assert sent == tmp_path / "bin" / f"uv-{version}"
    assert sent.read_bytes() == path.read_bytes()
    assert subprocess.run([sent, "--version"], check=True, capture_output=True, text=True).stdout.startswith("uv ")
    assert known["uv"] == version
    pieces = node.pieces
    anyio.run(uv.ensure, node, known)
    assert node.pieces == pieces > 1


def test_uv_of_the_node_is_good_enough(tmp_path: Path) -> None:
    node = Node(tmp_path)
    anyio.run(uv.ensure, node, facts(uv="99.1", arch="riscv64"))
    assert node.pieces == 0


@pytest.mark.parametrize("changes", [{"arch": "riscv64"}, {"system": "Darwin"}, {"arch": "riscv64", "uv": "0.1.0"}])
def test_other_machines_are_told_what_to_do(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(SetupFailed) as caught:
        anyio.run(uv.ensure, Node(tmp_path), facts(**changes))
    assert "install uv on the node" in caught.value.hints[0]
    assert os.uname().machine in caught.value.why


def test_only_environments_of_their_own_need_uv() -> None:
    assert not uv.needs_uv(Environment())
    assert not uv.needs_uv(Environment(EnvironmentKind.PLAIN))
    assert uv.needs_uv(Environment(EnvironmentKind.PLAIN, key="k", python="3.12"))


def test_both_sides_want_the_same_uv() -> None:
    assert uv.MINIMUM == environment.MINIMUM_UV
    assert environment.uv_version(f"uv-{uv.binary()[0]}") >= uv.MINIMUM


@pytest.mark.parametrize(
    ("text", "numbers"), [("uv 0.13.8 (x86_64)", (0, 13, 8)), ("uv-0.9", (0, 9)), ("uv", ()), ("uv 1.x", ())]
)
def test_versions_are_read_from_names_and_answers(text: str, numbers: tuple[int, ...]) -> None:
    assert environment.uv_version(text) == numbers
