"""What the line below a followed job says, and that it never mixes with the program's own."""

from __future__ import annotations

import pytest

from afield.cli.pinned import text_of


@pytest.mark.parametrize(
    ("phase", "ran", "said", "rate", "text"),
    [
        ("queued", 3.0, None, 0.0, ""),
        ("running", 3.4, None, 0.0, "running   3 s"),
        (
            "running",
            2220.0,
            {"done": 2800, "total": 10000},
            1.25,
            "running   37 m · 2,800 of 10,000, 28% · about 1 h 36 m left",
        ),
        ("running", 61.0, {"done": 12.5, "total": None}, 1.0, "running   1 m 1 s · 12.5"),
        ("running", 61.0, {"done": 5, "total": 10}, 0.0, "running   1 m 1 s · 5 of 10, 50%"),
        ("running", 61.0, {"done": 10, "total": 10}, 1.0, "running   1 m 1 s · 10 of 10, 100%"),
        ("stopping", 5.0, None, 0.0, "stopping  5 s"),
        ("succeeded", 5.0, None, 0.0, ""),
    ],
)
def test_text(phase: str, ran: float, said: dict[str, float] | None, rate: float, text: str) -> None:
    assert text_of(phase, ran, said, rate) == text
