"""The decorator and the options, without any job."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import afield as af
from afield.config.keys import KEYS
from afield.errors import UsageError
from afield.sdk import calls
from afield.sdk.notebook import shown
from afield.sdk.options import Options
from afield.sdk.submit import ONCE


@af.function(gpus=2, name="train")
def train(rate: float, *, steps: int = 10) -> float:
    """Trains."""
    return rate * steps


def test_a_plain_call_runs_here() -> None:
    assert train(0.5) == 5.0
    assert train.__doc__ == "Trains."


def test_it_may_be_sent_itself_and_is_plain_there() -> None:
    # Under its name in this module lies the decorated one, so the inner one is taken by hand.
    plain, (inner,) = train.__reduce__()
    assert plain(inner)(2.0) == 20.0
    assert pickle.loads(pickle.dumps(plain)) is plain


def test_options_are_the_settings_by_name() -> None:
    assert set(Options.__annotations__) == {key.name for key in KEYS} | set(ONCE)


def test_an_option_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="there is no setting 'gpu'"):
        af.function(gpu=1)(len)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="there is no setting 'gpu'"):
        af.Executor(gpu=1)  # type: ignore[call-arg]


def test_options_are_added_to_a_copy() -> None:
    assert "gpus=1" in repr(train.options(gpus=1))
    assert "name='train'" in repr(train.options(gpus=1))
    assert "gpus=2" in repr(train)


def test_another_python_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "afield.toml").write_text('python = "3.99"\n')
    with pytest.raises(UsageError, match=r"python = 3\.99, and this is Python 3\."):
        calls.build(len, [(("abc",), {})], {}, tmp_path)


def test_a_notebook_shows_nothing_that_a_job_wrote_as_markup() -> None:
    view = {"number": 3, "name": "<script>x</script>", "phase": "timed_out", "reason": '<img src="x">'}
    text = shown({**view, "command": ["python3", "<b>"], "nodes": ["box&1"], "exit_status": 124})
    assert "<script>" not in text
    assert "<img" not in text
    assert "&lt;b&gt;" in text
    assert "box&amp;1" in text
    assert "timed out" in text


def test_a_function_cannot_run_in_the_code_of_another_job(tmp_path: Path) -> None:
    (tmp_path / "afield.toml").write_text("")
    with pytest.raises(UsageError, match="brings its own code"):
        calls.build(len, [((), {})], {"no_sync": True}, tmp_path)
