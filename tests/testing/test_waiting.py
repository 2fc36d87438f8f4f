"""Waiting ends with the first true answer, or says what was seen last."""

from __future__ import annotations

import pytest

from afield.testing.waiting import wait_until


def test_the_first_true_answer_is_given():
    answers = iter([0, "", "yes", "no"])
    assert wait_until(lambda: next(answers)) == "yes"


def test_giving_up_shows_the_last_state():
    with pytest.raises(AssertionError, match=r"last answer: \[\]\nthe whole story"):
        wait_until(list, within_s=0.02, show=lambda: "the whole story")
