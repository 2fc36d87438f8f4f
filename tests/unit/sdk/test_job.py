"""The job as an object, against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import afield
from afield.sdk.job import Job, JobFailed, _Lines
from tests.unit.server.fixtures import place as place
from tests.unit.server.memory import LINE
from tests.unit.server.place import Place, job


def submit(place: Place, *argv: str, **more: object) -> Job:
    return Job(place.client, place.client.submit([job(*argv, **more)])[0])


def test_a_job_that_succeeds(place: Place) -> None:
    made = submit(place, "lines", "3", name="three")
    assert made.wait().exit_status == 0
    assert made.phase == "succeeded"
    assert repr(made) == "<Job 1 'three' succeeded>"
    assert list(made.logs()) == [(LINE % i).decode().rstrip("\n") for i in range(3)]
    assert b"".join(made.output(follow=True)) == b"".join(LINE % i for i in range(3))
    assert list(made.logs(stream="err")) == []


def test_a_job_that_fails_says_so_only_when_asked(place: Place) -> None:
    made = submit(place, "fail")
    assert made.wait().exit_status == 3
    with pytest.raises(JobFailed, match="job 1 failed") as failed:
        made.wait(check=True)
    assert (failed.value.exit_status, failed.value.why) == (3, "exit code 3")


def test_a_job_is_stopped(place: Place) -> None:
    made = submit(place, "forever")
    assert made.exit_status is None
    with pytest.raises(TimeoutError):
        made.wait(timeout=0.01)
    assert made.stop().wait().phase == "stopped"


def test_results_come_home_from_a_real_server(place: Place, tmp_path: Path) -> None:
    code = {"workspace": "w", "tree": "t", "root": str(tmp_path)}
    made = submit(place, "lines", "1", task={"argv": ["lines", "1"], "code": code})
    brought = made.pull()
    assert (brought.files, brought.kept) == (4, 0)
    assert (tmp_path / "outputs/1/model.bin").read_bytes() == b"\0\xff" * 300_000
    assert made.pull().kept == 4


def test_lines_are_whole_whatever_the_pieces() -> None:
    lines = _Lines()
    fed = [lines.feed(piece) for piece in (b"a\xc3", b"\xa4b\nc", b"d\r\n\n", b"\xff end", b"")]
    assert fed == [[], ["aäb"], ["cd\r", ""], [], ["\ufffd end"]]


def test_public_names_are_few_and_lead_somewhere() -> None:
    assert len(afield.__all__) <= 16
    assert set(afield.__all__) <= set(dir(afield))
    assert all(getattr(afield, name) for name in afield.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = afield.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["@last", "train", "", None])
def test_what_is_no_number_of_a_job_is_told(word: Any) -> None:
    with pytest.raises(afield.AfieldError, match="is not the number of a job") as caught:
        afield.job(word)
    assert int(caught.value.exit) == 2
