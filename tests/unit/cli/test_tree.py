"""Walks every command of the tree: its help has the shape of all others, and what it does not know it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from afield.cli import app
from afield.cli.table import COMMANDS
from afield.cli.topics import TOPICS

READ = {"ps", "logs", "show", "why", "diff", "status", "ls", "config", "doctor", "node ls", "node show", "wait"}
"""What only looks; it has `--json`, and so has whatever is called ls or show in a group."""

WIDE_BY_HAND = {"ls", "show"}


def walk(group: click.Group = app.root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Each command with the words that call it; groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, (*path, name)
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


TREE = dict(walk())


@pytest.mark.parametrize("name", TREE)
def test_help_says_what_gives_examples_and_usage_and_fits(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert app.run([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80, [line for line in text.splitlines() if len(line) > 80]
    what, _, rest = text.partition(f"Usage: afield {name}")
    assert rest, "no usage"
    assert re.match(r" {2}[A-Z][^.:]*[.:]", what), "it begins with a sentence that says what it does"
    assert re.search(rf"^ {{4}}afield {name}( |$)", what, re.MULTILINE), "no example"
    assert app.run([*name.split(), "-h"]) == 0
    assert capsys.readouterr().out == text
    assert app.run(["help", *name.split()]) == 0
    assert capsys.readouterr().out.rstrip() == text.rstrip()


@pytest.mark.parametrize("name", TREE)
def test_an_unknown_option_is_refused_with_the_nearest(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [o for p in TREE[name].params if isinstance(p, click.Option) for o in p.opts if len(o) > 5]
    known = max(options, default="--help", key=len)
    mistyped = known[:-1] + ("x" if known[-1] != "x" else "y")
    assert app.run([*name.split(), mistyped]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: no such option"), told
    assert mistyped in told
    assert "try: " in told
    assert f"afield {name} --help" in told
    assert known in told, "the option that was meant is named"


@pytest.mark.parametrize("name", [n for n, c in TREE.items() if isinstance(c, click.Group)])
def test_an_unknown_word_of_a_group_is_refused_with_the_nearest(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    group = TREE[name]
    assert isinstance(group, click.Group)
    known = max(group.list_commands(click.Context(group)), key=len)
    assert app.run([*name.split(), known + "x"]) == 2
    assert f"afield {name} {known}" in capsys.readouterr().err


@pytest.mark.parametrize("name", TREE)
def test_what_only_looks_has_json(name: str) -> None:
    words = name.split()
    has = any("--json" in p.opts for p in TREE[name].params)
    assert has or not (name in READ or (len(words) > 1 and words[-1] in WIDE_BY_HAND)), "a read command without --json"


def test_what_is_called_read_is_there() -> None:
    assert set(TREE) >= READ


def test_the_overview_has_each_command_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 0
    text = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        found = re.findall(rf"^  {name} +", text, re.MULTILINE)
        assert len(found) == bool(entry.group), name


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_fit(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["help", topic]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) > 3
    assert max(map(len, text.splitlines())) <= 120
    assert app.run(["help", topic + "x"]) == 2
    assert f"afield help {topic}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "--json", "12"], {"job": 12, "as_json": "*"}),
        (["show", "--json", "phase", "12"], {"job": 12, "as_json": "phase"}),
        (["show", "12", "--json", "phase,reason"], {"job": 12, "as_json": "phase,reason"}),
        (["show", "12", "--json=phase"], {"job": 12, "as_json": "phase"}),
        (["show", "--json", "@last"], {"job": "@last", "as_json": "*"}),
        (["node show", "--json", "local"], {"name": "local", "as_json": "*"}),
        (["node show", "local", "--json"], {"name": "local", "as_json": "*"}),
        (["node show", "--json", "local", "--probe"], {"name": "local", "as_json": "*"}),
        (["run", "--json", "train.py"], {"argv": ("train.py",), "as_json": "*"}),
        (["run", "--json", "number", "prog", "--json", "x"], {"argv": ("prog", "--json", "x"), "as_json": "number"}),
        (["ps", "--json", "number"], {"as_json": "number"}),
    ],
)
def test_the_word_behind_json_is_fields_only_where_it_can_be(words: list[str], told: dict[str, object]) -> None:
    context = TREE[words[0]].make_context("afield", words[1:])
    assert {name: context.params[name] for name in told} == told
