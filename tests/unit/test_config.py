"""Settings: which layer wins, where each value comes from, and what mistakes say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from afield import config
from afield.errors import UsageError
from afield.model.policy import Policy
from afield.model.task import End


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFIELD_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def user_file(root: Path) -> Path:
    return root.parent / "user" / "config.toml"


def test_keys_are_the_fields_of_the_result() -> None:
    names = [field.name for field in dataclasses.fields(config.Settings)]
    assert names == [key.name for key in config.KEYS] + ["origins"]


def test_choices_are_those_of_the_model() -> None:
    choices = {key.name: key.choices for key in config.KEYS if key.choices}
    assert choices == {"policy": tuple(map(str, Policy)), "end": tuple(map(str, End))}


def test_nothing_said_gives_defaults(root: Path) -> None:
    found = config.load(root)
    assert found == dataclasses.replace(config.Settings(), origins=found.origins)
    assert {str(origin) for origin in found.origins.values()} == {"default"}
    assert config.load(None).environment == "auto"


def test_each_layer_wins_over_those_below(root: Path) -> None:
    user_file(root).write_text('python = "3.9"\nname = "u"\nnode = "u"\npriority = 1\ngrace = "1m"\n')
    (root / "afield.toml").write_text('# project\nname = "p"\nnode = "p"\npriority = 2\n')
    (root / "afield.local.toml").write_text('\nnode = ["l", "m"]\npriority = 3\n')
    found = config.load(root, {"priority": 4, "name": None})
    assert (found.python, found.name, found.node, found.priority, found.grace) == ("3.9", "p", ("l", "m"), 4, 60.0)
    assert {name: str(found.origins[name]) for name in ("python", "name", "node", "priority", "end")} == {
        "python": f"{user_file(root)}:1",
        "name": f"{root}/afield.toml:2",
        "node": f"{root}/afield.local.toml:2",
        "priority": "flag --priority",
        "end": "default",
    }


def test_table_of_pyproject_counts_where_there_is_no_file_of_ours(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.afield]\ntime = "2h"\n[tool.afield.env]\nA = "1"\n'
    )
    found = config.load(root)
    assert (found.time, found.name, dict(found.env)) == (7200.0, "", {"A": "1"})
    assert str(found.origins["time"]) == f"{root}/pyproject.toml:5"
    assert str(found.origins["env.A"]) == f"{root}/pyproject.toml:7"
    (root / "afield.toml").write_text('name = "y"\n')
    assert (config.load(root).time, config.load(root).name) == (None, "y")


def test_variables_are_merged_one_by_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    user_file(root).write_text('[env]\nA = "user"\nB = "user"\n')
    (root / "afield.toml").write_text('env = { A = "project", SEED = 7 }\n')
    found = config.load(root, {"env": ["C=x=y", "FROM_HERE"]})
    assert dict(found.env) == {"A": "project", "B": "user", "SEED": "7", "C": "x=y", "FROM_HERE": "here"}
    assert str(found.origins["env.B"]) == f"{user_file(root)}:3"
    assert str(found.origins["env.C"]) == "flag --env"


def test_higher_request_hides_lower_gpus(root: Path) -> None:
    (root / "afield.toml").write_text("gpus = 2\n")
    found = config.load(root, {"request": "[4:a100]"})
    assert (found.request, found.gpus) == ("[4:a100]", None)
    assert config.load(root, {"gpus": 0}).gpus == 0
    with pytest.raises(UsageError, match="exclude each other"):
        config.load(root, {"request": "[]", "gpus": 1})


def test_commands_are_for_the_shell_or_words(root: Path) -> None:
    (root / "afield.toml").write_text('setup = "make all"\npreflight = ["nvidia-smi", "-L"]\n')
    found = config.load(root)
    assert found.setup == ("/bin/sh", "-c", "make all")
    assert found.preflight == ("nvidia-smi", "-L")
    rows = {key: value for key, value, _ in found.rows()}
    assert (rows["setup"], rows["preflight"], rows["grace"], rows["merge"]) == (
        "make all",
        "nvidia-smi -L",
        "10s",
        "false",
    )


def test_rows_show_each_variable(root: Path) -> None:
    rows = config.load(root, {"env": ["A=1"]}).rows()
    assert ("env.A", "1", "flag --env") in rows
    assert [row[0] for row in rows if row[0] != "env.A"] == [key.name for key in config.KEYS if key.name != "env"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\ngpu = 2\n", 2, "did you mean gpus?"),
        ("gpus = true\n", 1, "a whole number"),
        ("gpus = -1\n", 1, "0 or more"),
        ('time = "soon"\n', 1, "no length of time"),
        ("time = 90\n", 1, "needs its unit"),
        ('policy = "resum"\n', 1, "did you mean resume"),
        ("node = [1]\n", 1, "a text or a list of texts"),
        ("merge = 1\n", 1, "true or false"),
        ("[env]\nA = true\n", 1, "no text"),
        ("env = ['AFIELD_SURELY_NOT_SET']\n", 1, "not set here"),
        ("name = 'a'\n[tool]\nx = 1\n", 2, "no setting 'tool'"),
        ("name = \n", 1, "not valid TOML"),
    ],
)
def test_mistake_is_told_with_its_line(root: Path, text: str, line: int, words: str) -> None:
    (root / "afield.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        config.load(root)
    error = caught.value
    assert error.what.startswith(f"{root}/afield.toml:{line}: ")
    assert words in " ".join((error.what, error.why, *error.hints))


def test_several_mistakes_are_told_together(root: Path) -> None:
    (root / "afield.toml").write_text('gpu = 2\nend = "never"\n')
    user_file(root).write_text("x =\n")
    with pytest.raises(UsageError) as caught:
        config.load(root, {"pyhton": "3.12"})
    assert caught.value.what == "4 settings are wrong"
    assert [line.split(": ")[0] for line in caught.value.why.splitlines()] == [
        "flag --pyhton",
        f"{root}/afield.toml:1",
        f"{root}/afield.toml:2",
        f"{user_file(root)}:1",
    ]


def test_table_of_ours_must_be_a_table(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool]\nafield = 3\n")
    with pytest.raises(UsageError, match="no table"):
        config.load(root)


def test_pyproject_of_somebody_else_is_not_even_parsed(root: Path) -> None:
    (root / "pyproject.toml").write_text("this is not TOML\n")
    assert config.load(root).name == ""


def test_import_needs_no_reader_of_files() -> None:
    code = "import sys, afield.config; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"tomllib", "difflib", "platformdirs", "pathlib", "pydantic", "asyncio", "subprocess", "json"} & set(
        loaded
    )


def test_user_folder_follows_the_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AFIELD_CONFIG_DIR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.config_folder() == str(tmp_path / "afield")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.config_folder() == str(tmp_path / ".config" / "afield")
    assert config.folders().state
