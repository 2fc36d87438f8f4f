"""Words that are no command: what is hinted, and what is not."""

from __future__ import annotations

import pytest

from afield.cli.app import unknown_command
from afield.cli.table import COMMANDS


@pytest.mark.parametrize(
    ("word", "hints"),
    [
        ("htop", ["afield top"]),
        ("submit", ["afield run -d"]),
        ("stp", ["afield stop"]),
        ("zzzz", ["afield --help"]),
    ],
)
def test_hints(word: str, hints: list[str]) -> None:
    error = unknown_command(word, list(COMMANDS), "afield")
    assert error.hints[: len(hints)] == tuple(hints), error.hints
