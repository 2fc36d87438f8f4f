"""The program of a function's job, as a process of its own: what it leaves for every way in which a call can go."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from afield.inside import call

HEAD = {"python": list(sys.version_info[:2]), "cloudpickle": cloudpickle.__version__, "path": [], "limit": 1000}


class Place:
    """A job's folder with a call in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variables = {
            "JOB_DIR": str(root),
            "SRC_DIR": str(root / "src"),
            "RESULT_FILE": str(root / "outputs" / "result"),
            "PATH": os.environ["PATH"],
        }
        for name in ("call", "outputs", "src"):
            (root / name).mkdir()

    def run(self, function: Any, *given: Any, head: dict[str, Any] | None = None, **variables: str) -> tuple[int, str]:
        """(exit status, errors) of the call."""
        line = json.dumps({**HEAD, **(head or {})}).encode() + b"\n"
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        (self.root / "call/function").write_bytes(line + cloudpickle.dumps(function))
        (self.root / "call/arguments").write_bytes(cloudpickle.dumps((given, {})))
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        done = subprocess.run(
            [sys.executable, call.__file__],
            env={**self.variables, **variables},
            cwd=self.root / "src",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    def left(self) -> tuple[dict[str, Any], Any]:
        """The head of the result, and what is pickled in it."""
        line, _, data = (self.root / "outputs/result").read_bytes().partition(b"\n")
        return json.loads(line), pickle.loads(data) if data else None


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def double(value: Any) -> Any:
    return value * 2


def boom(value: object) -> None:
    raise LookupError(f"no {value}")


def lock(_: object) -> object:
    import threading

    return threading.Lock()


class Unsendable(Exception):
    def __reduce__(self) -> str:
        raise TypeError("not me")


def unsendable(_: object) -> None:
    raise Unsendable("text")


def helped(_: object) -> object:
    import helper  # type: ignore[import-not-found]

    return helper.VALUE


def test_a_value_is_left(place: Place) -> None:
    assert place.run(double, 21) == (0, "")
    head, value = place.left()
    assert (head["kind"], value) == ("value", 42)
    assert not list((place.root / "outputs").glob("*.part"))


def test_an_exception_is_left_with_the_traceback_from_there(place: Place) -> None:
    status, errors = place.run(boom, "key")
    assert status == 1
    head, error = place.left()
    assert (head["kind"], head["type"], str(error)) == ("error", "LookupError", "no key")
    assert 'raise LookupError(f"no {value}")' in head["traceback"] or "in boom" in head["traceback"]
    assert head["traceback"] in errors
    assert "afield" not in head["traceback"].replace(__file__, "")


def test_an_exception_that_cannot_be_sent_is_left_as_text(place: Place) -> None:
    place.run(unsendable, 1)
    head, error = place.left()
    assert (head["kind"], head["text"], error) == ("error", "text", None)
    assert head["type"].endswith("Unsendable")


def test_what_cannot_be_pickled_or_is_too_large_is_said(place: Place) -> None:
    status, errors = place.run(lock, 1)
    assert status == 1
    assert place.left()[0]["error"]["code"] == "result-unpicklable"
    assert "lock" in errors
    assert place.run(double, "x" * 600)[0] == 1
    head, value = place.left()
    assert (head["error"]["code"], value) == ("result-too-large", None)
    assert "1000 are the most" in head["error"]["why"]


def test_another_python_is_refused_before_anything_is_loaded(place: Place) -> None:
    status, errors = place.run(double, 1, head={"python": [3, 99]}, PATH="/nowhere")
    assert status == 1
    error = place.left()[0]["error"]
    assert error["code"] == "python-differs"
    assert "3.99" in error["what"]
    assert error["hints"] == ['python="3.99" has that Python made ready for the job']
    assert error["what"] in errors


def test_the_right_python_in_the_path_takes_over_once(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "python3.99"
    other.write_text('#!/bin/sh\necho "$@" > "$JOB_DIR/taken"\n')
    other.chmod(0o755)
    assert place.run(double, 1, head={"python": [3, 99]}, PATH=f"{tmp_path}:/usr/bin:/bin")[0] == 0
    assert (tmp_path / "taken").read_text() == f"-m afield_call {call.AGAIN}\n"
    # An environment was made for this job: leaving it would lose its packages.
    assert place.run(double, 1, head={"python": [3, 99]}, PATH=str(tmp_path), VIRTUAL_ENV="/env")[0] == 1


def test_another_cloudpickle_is_refused(place: Place) -> None:
    assert place.run(double, 1, head={"cloudpickle": "0.1"})[0] == 1
    assert place.left()[0]["error"]["code"] == "cloudpickle-differs"


def test_modules_are_found_where_the_sender_found_them(place: Place) -> None:
    (place.root / "src/scripts").mkdir()
    (place.root / "src/scripts/helper.py").write_text("VALUE = 7\n")
    assert place.run(helped, 1)[0] == 1
    assert place.left()[0]["type"] == "ModuleNotFoundError"
    assert place.run(helped, 1, head={"path": ["scripts"]})[0] == 0
    assert place.left()[1] == 7


def test_only_the_first_process_leaves_a_result(place: Place) -> None:
    assert place.run(double, 1, RANK="1") == (0, "")
    assert not (place.root / "outputs/result").exists()


def test_leaving_by_exit_leaves_no_result(place: Place) -> None:
    assert place.run(sys.exit, 3)[0] == 3
    assert not (place.root / "outputs/result").exists()
