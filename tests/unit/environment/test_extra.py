"""Packages on top of an environment: another name for each set of them, and how a node installs them."""

from __future__ import annotations

import pytest

from afield.environment.detect import Found
from afield.environment.extra import add
from afield.model.task import Environment, EnvironmentKind
from afield.runner.environment_build import steps

LOCKED = Found(Environment(EnvironmentKind.UV_LOCK, "a" * 32, files=("uv.lock", "pyproject.toml")), "uv.lock")
PLAIN = Found(Environment(EnvironmentKind.PLAIN), "the node's python3")


def test_each_set_of_packages_is_an_environment_of_its_own() -> None:
    keys = [
        found.environment.key
        for found in (LOCKED, add(LOCKED, ["jupyterlab"]), add(LOCKED, ["jupyterlab", "x"]), add(PLAIN, ["jupyterlab"]))
    ]
    assert len(set(keys)) == 4
    assert add(LOCKED, ["jupyterlab"]) == add(LOCKED, ["jupyterlab"])
    made = add(LOCKED, ["jupyterlab"])
    assert (made.environment.kind, made.environment.files) == (EnvironmentKind.UV_LOCK, ("uv.lock", "pyproject.toml"))
    assert made.line == "uv.lock with jupyterlab"


def test_nothing_more_changes_nothing_and_what_is_the_nodes_own_stays_so() -> None:
    assert add(LOCKED, []) is LOCKED
    none = Found(Environment(), "none")
    assert add(none, ["jupyterlab"]) is none


def test_an_address_among_them_may_be_reached() -> None:
    found = add(LOCKED, ["tool @ https://example.org/tool.whl"])
    assert found.environment.hosts == ("example.org:443",)


@pytest.mark.parametrize(
    ("kind", "files", "installs"),
    [
        ("plain", [], [["--", "more"]]),
        ("imports", ["lib/pyproject.toml"], [["--", "more"]]),
        ("requirements.txt", ["requirements.txt"], [["-r", "/src/requirements.txt", "--", "more"]]),
        ("pyproject.toml", ["pyproject.toml"], [["-r", "/src/pyproject.toml", "--", "more"]]),
        ("script", ["run.py"], [["--", "more"]]),
    ],
)
def test_a_node_installs_them_after_what_the_files_say(kind: str, files: list[str], installs: list[list[str]]) -> None:
    job = {"kind": kind, "folder": "/env/k", "files": files, "source": "/src", "python": "", "packages": ["more"]}
    pip = [argv for argv, _, _ in steps(job, "uv") if argv[1:3] == ["pip", "install"]]
    assert [argv[argv.index("/env/k/bin/python") + 1 :] for argv in pip] == installs


def test_a_locked_project_gets_them_after_its_lock(tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tmp_path_factory.mktemp("src")
    (source / "uv.lock").write_text("version = 1\n")
    job = {
        "kind": "uv.lock",
        "folder": "/env/k",
        "files": ["uv.lock", "pyproject.toml"],
        "source": str(source),
        "python": "",
        "packages": ["more"],
    }
    assert [argv[1:3] for argv, _, _ in steps(job, "uv")] == [["sync", "--frozen"], ["pip", "install"]]
