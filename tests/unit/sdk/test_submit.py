"""From a command and options to a submission that the server takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afield.config import KEYS
from afield.errors import NotFound, RequestSyntaxError, UsageError
from afield.model.policy import Policy
from afield.model.request import DeviceAsk, ProcessGroup
from afield.model.task import End, EnvironmentKind
from afield.sdk.code import code_diff
from afield.sdk.submit import BIG, build, build_all, describe, settings
from afield.server.schema import SubmitBody, check


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a script in a folder, and a cache and home of its own."""
    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"AFIELD_{name}_DIR", str(tmp_path / name.lower()))
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / "afield.toml").write_text("")
    (root / "sub/train.py").write_text("print('hello')\n")
    monkeypatch.chdir(root / "sub")
    return root


def accepted(body: dict[str, Any]) -> Any:
    """The submission as the server reads it."""
    submission = SubmitBody.model_validate({"jobs": [body]}).jobs[0]
    check(submission, "jobs.0")
    return submission


def test_a_script_runs_where_it_lies(project: Path) -> None:
    built = build(["train.py", "--lr", "3e-4"], {})
    submission = accepted(built.body)
    assert submission.task.argv == ("train.py", "--lr", "3e-4")
    assert (submission.task.code.root, submission.task.code.folder) == (str(project), "sub")
    assert submission.task.environment.kind is EnvironmentKind.PLAIN
    assert built.texts["sync"].startswith("2 files")
    assert built.texts["env"] == "the node's python3"


@pytest.mark.parametrize(
    ("options", "attribute", "value"),
    [
        ({"node": ["box1", "box2"]}, "nodes", ("box1", "box2")),
        ({"node": "box1"}, "nodes", ("box1",)),
        ({"gpus": 2}, "request.groups", (ProcessGroup(devices=(DeviceAsk("gpu", 2),)),)),
        ({"gpus": 0}, "request.groups", (ProcessGroup(),)),
        ({"request": "2:[cpu=4]"}, "request.groups", (ProcessGroup(count=2, cpu=4.0),)),
        ({"time": "90m"}, "request.time_limit_s", 5400.0),
        ({"policy": "rerun"}, "policy", Policy.RERUN),
        ({}, "policy", Policy.PASS),
        ({"priority": -3}, "priority", -3),
        ({"name": "sweep"}, "name", "sweep"),
        ({"environment": "none"}, "task.environment.kind", EnvironmentKind.NONE),
        ({"environment": "none"}, "task.argv", ("python3", "train.py")),
        ({"python": "3.12"}, "task.environment.python", "3.12"),
        ({"setup": "make"}, "task.setup", ("/bin/sh", "-c", "make")),
        ({"preflight": ["nvidia-smi", "-L"]}, "task.preflight", ("nvidia-smi", "-L")),
        ({"env": {"A": "1"}}, "task.variables", (("A", "1"),)),
        ({"env": ["A=1", "B=x=y"]}, "task.variables", (("A", "1"), ("B", "x=y"))),
        ({"merge": True}, "task.merge", True),
        ({"end": "first"}, "task.end", End.FIRST),
        ({"grace": "30s"}, "task.grace_s", 30.0),
    ],
)
def test_each_setting_arrives(project: Path, options: dict[str, Any], attribute: str, value: Any) -> None:
    found: Any = accepted(build(["train.py"], options).body)
    for word in attribute.split("."):
        found = getattr(found, word)
    assert found == value


def test_every_setting_is_an_option_and_nothing_else_is(project: Path) -> None:
    assert [row[0] for row in settings()] == [key.name for key in KEYS if key.name != "env"]
    with pytest.raises(UsageError, match="no setting 'gpu'") as error:
        build(["train.py"], {"gpu": 1})
    assert "gpus" in error.value.hints[0]


def test_the_projects_file_counts(project: Path) -> None:
    (project / "afield.toml").write_text("priority = 5\n")
    assert build(["train.py"], {}).body["priority"] == 5
    assert build(["train.py"], {"priority": 7}).body["priority"] == 7


def test_a_batch_shares_its_code_and_no_key(project: Path) -> None:
    built = build_all([["train.py", str(seed)] for seed in range(50)], {"gpus": 1})
    assert len({b.body["key"] for b in built}) == 50
    assert {b.body["task"]["code"]["tree"] for b in built} == {built[0].body["task"]["code"]["tree"]}
    assert [accepted(b.body).task.argv[1] for b in built] == [str(seed) for seed in range(50)]


def test_bad_asks_are_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="no command"):
        build([], {})
    with pytest.raises(RequestSyntaxError):
        build(["train.py"], {"request": "[[["})


def test_a_large_send_is_asked_about(project: Path) -> None:
    with (project / "large").open("wb") as file:
        file.truncate(1_100_000_000)
    with pytest.raises(UsageError) as error:
        build(["train.py"], {})
    assert error.value.code == BIG


def test_describe_tells_what_would_be_sent(project: Path) -> None:
    lines = describe()
    assert lines[0] == f"workspace {project}, here sub"
    assert lines[1].startswith("2 files")


def test_the_code_of_jobs_is_compared(project: Path) -> None:
    first = build(["train.py"], {}).body["task"]["code"]
    (project / "sub/train.py").write_text("print('good bye')\n")
    second = build(["train.py"], {}).body["task"]["code"]
    assert b"-print('hello')\n+print('good bye')\n" in code_diff(first, second)
    assert code_diff(first, None) == code_diff(first, second)
    assert code_diff(second, None) == b""


def test_code_that_cannot_be_compared_is_told(project: Path) -> None:
    code = build(["train.py"], {}).body["task"]["code"]
    with pytest.raises(NotFound, match="this snapshot is not here"):
        code_diff({**code, "tree": "0" * 39 + "1"}, code)
    with pytest.raises(UsageError, match="two workspaces"):
        code_diff(code, {**code, "workspace": "f" * 16})
    with pytest.raises(NotFound, match="no longer there"):
        code_diff({**code, "root": str(project / "gone")}, None)


def test_a_setup_depends_on_the_variables_that_it_has_a_word_for(project: Path) -> None:
    (project / "sub/get.sh").write_text("curl $SOURCE\n")

    def content(**env: str) -> str:
        return str(build(["train.py"], {"setup": "sh get.sh", "env": env}).body["task"]["setup_content"])

    assert content(SOURCE="a") != content(SOURCE="b")
    assert content(SOURCE="a", SEED="1") == content(SOURCE="a", SEED="2")


@pytest.mark.parametrize("word", ["../../elsewhere.py", "../../project2/x.py"])
def test_a_program_outside_of_the_workspace_is_refused(project: Path, word: str) -> None:
    target = project / "sub" / word
    target.parent.mkdir(exist_ok=True)
    target.write_text("")
    with pytest.raises(UsageError) as refused:
        build([word], {})
    assert refused.value.code == "entry-outside"
    build(["../sub/train.py"], {})


def test_a_preflight_is_left_out_once(project: Path) -> None:
    (project / "afield.toml").write_text('preflight = "nvidia-smi"\n')
    assert build(["train.py"], {}).body["task"]["preflight"]
    assert not build(["train.py"], {"no_preflight": True}).body["task"]["preflight"]


def test_imports_are_found_in_other_folders_of_the_snapshot(project: Path) -> None:
    common = project.parent / "common"
    common.mkdir()
    (common / "__init__.py").write_text("import nowhere_to_be_found\n")
    (project / "train.py").write_text("import common\n")
    alone = build(["train.py"], {}, project)
    assert any("common" in note for note in alone.notes)
    both = build(["train.py"], {"dirs": ["../common"]}, project)
    assert not any("common (" in note for note in both.notes)
    assert any("nowhere_to_be_found" in note for note in both.notes)
