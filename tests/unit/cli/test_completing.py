"""What the Tab key is told, and that it says nothing when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afield.cli import completing
from afield.cli.grammar import grammar
from afield.cli.table import COMMANDS, NODE
from afield.folders import Folders

LIVE = {"nodes": [["box1", "ready"], ["box2", "drained"]], "jobs": [[12, "running  train"]], "secrets": ["API_KEY"]}


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Asks for a line, the last word of which is being typed: (kind, candidates)."""
    for name in ("CACHE", "STATE", "RUNTIME"):
        monkeypatch.setenv(f"AFIELD_{name}_DIR", str(tmp_path / name.lower()))
    folders = Folders()
    cache = Path(folders.cache)
    cache.mkdir()
    (cache / f"names-{Path(folders.socket).name}.json").write_text(json.dumps(LIVE))

    def ask(*words: str) -> tuple[str, list[str]]:
        completing.main([str(len(words)), "afield", *words])
        out, err = capsys.readouterr()
        assert err == ""
        kind, *lines = out.splitlines()
        return kind, [line.partition("\t")[0] for line in lines]

    return ask


@pytest.mark.parametrize(
    ("words", "kind", "found"),
    [
        (["ru"], "words", ["run"]),
        (["node", "r"], "words", ["rm"]),
        (["node", "rm", ""], "words", ["box1", "box2", "local"][:2]),
        (["run", "-n", "box"], "words", ["box1", "box2"]),
        (["run", "--node=box2"], "words", ["--node=box2"]),
        (["run", "--policy", "re"], "words", ["resume", "rerun", "reapply"]),
        (["run", "--end", ""], "words", ["all", "first"]),
        (["run", "--secret", "A"], "words", ["API_KEY"]),
        (["run", "--continue", ""], "words", ["12", "@last"]),
        (["run", "--name", ""], "words", []),
        (["run", "-d", "tr"], "files", []),
        (["run", "-n", "box1", "train.py", "--no"], "files", []),
        (["run", "--", "-"], "files", []),
        (["logs", "1"], "words", ["12"]),
        (["logs", "@"], "words", ["@last"]),
        (["ls", "b"], "files", ["box1:", "box2:"]),
        (["completion", ""], "words", ["bash", "zsh", "fish"]),
        (["nonsense", "x"], "words", []),
        (["logs", "--foll"], "words", ["--follow"]),
    ],
)
def test_a_line_is_completed(said, words: list[str], kind: str, found: list[str]) -> None:
    assert said(*words) == (kind, found)


def test_all_commands_and_options_are_known(said) -> None:
    assert said("")[1] == list(COMMANDS)
    assert said("node", "")[1] == list(NODE)
    assert {"--node", "-n", "--need", "--secret", "--help"} <= set(said("run", "-")[1])


def test_every_command_is_in_the_grammar() -> None:
    known = grammar()
    assert set(known[""]["commands"]) == set(COMMANDS)
    for path, here in known.items():
        assert "commands" in here or set(here) == {"options", "argument", "interspersed"}, path


@pytest.mark.parametrize("argv", [[], ["x"], ["1"], ["99", "afield"], ["-5", "afield", "run"]])
def test_what_is_not_asked_right_is_answered_by_nothing_bad(said, argv: list[str], capsys) -> None:
    completing.main(argv)
    assert capsys.readouterr().err == ""


def test_damaged_caches_are_made_again(said) -> None:
    said("ru")
    for path in Path(Folders().cache).iterdir():
        path.write_text("{ torn")
    assert said("ru") == ("words", ["run"])
    assert said("node", "rm", "") == ("words", [])
