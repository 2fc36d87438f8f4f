"""The page for people who come from other tools names only what there is: commands, options, keys, variables."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from afield.cli.table import OTHER_WORDS
from afield.cli.topics import VARIABLES
from afield.config import KEYS
from tests.unit.cli.test_tree import TREE

PAGE = (Path(__file__).parents[3] / "docs/coming-from.md").read_text()
ROWS = [row for row in re.findall(r"^\| (.+?) \| (.+?) \|(?: .*)?\|$", PAGE, re.MULTILINE) if row[1] != "afield"]
COMMANDS = sorted(set(re.findall(r"`afield ([a-z][^`]*)`", PAGE)))
WORDS = sorted({word for row in ROWS for word in re.findall(r"`([^`]+)`", row[1]) if not word.startswith("afield ")})
FILES = {"afield.toml", ".afieldignore", ".afieldinclude", "requirements.txt", "afield --help", "data/"}
PYTHON = {"afield.Executor", "afield.function"}

OLDER = [
    [word for line in text.splitlines()[1:] for word in line.split()]
    for text in (Path(__file__).parents[2] / "facts/older-tools.txt").read_text().split("# ")[1:]
]


def part(name: str) -> str:
    """The section of a tool."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize(
    ("section", "words"), [*zip(("The pod runner `tp`", "recompute"), OLDER, strict=True)], ids=["tp", "recompute"]
)
def test_each_word_of_an_older_tool_has_a_row(section: str, words: list[str]) -> None:
    left = " ".join(row.split("|")[1] for row in part(section).splitlines() if row.startswith("| "))
    missing = [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", left)]
    assert missing == []


@pytest.mark.parametrize("word", [word for words in OLDER for word in words if re.fullmatch("[a-z]{3,}", word)])
def test_a_command_of_an_older_tool_leads_to_the_one_of_its_row(word: str) -> None:
    rows = [row for row in PAGE.splitlines() if re.match(rf"\| `(?:tp )?{word}\b", row)]
    answers = [row.split("|")[2].strip(" `") for row in rows]
    if word in TREE or not any(answer.startswith("afield ") for answer in answers):
        return  # the same word here, or a key of a file
    meant = [f"afield {words}" for words in re.split(" or |, ", OTHER_WORDS[word])]
    assert any(answer.startswith(tuple(meant)) for answer in answers), (answers, meant)


@pytest.mark.parametrize("line", COMMANDS)
def test_each_named_command_and_option_is_in_the_tree(line: str) -> None:
    words = line.split()
    name = " ".join(words[:2]) if " ".join(words[:2]) in TREE else words[0]
    assert name in TREE, f"there is no afield {words[0]}"
    command = TREE[name]
    assert not isinstance(command, click.Group) or name == line, f"there is no afield {line}"
    known = {option for p in command.params if isinstance(p, click.Option) for option in (*p.opts, "--help")}
    for word in words:
        if word == "--":
            break
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"afield {name} has no {word}"


@pytest.mark.parametrize("word", WORDS)
def test_each_named_key_variable_and_file_exists(word: str) -> None:
    import afield

    known = FILES | {key.name for key in KEYS} | set(VARIABLES.split()) | set(re.findall(r"[A-Z_]+", VARIABLES))
    assert word in known or (word in PYTHON and hasattr(afield, word.partition(".")[2])), word


def test_no_row_is_without_an_answer() -> None:
    assert len(ROWS) > 90
    for left, right in ROWS:
        assert "`" in right or right.strip() in ("-", "[Python](python.md)") or set(right) == {"-"}, (left, right)
