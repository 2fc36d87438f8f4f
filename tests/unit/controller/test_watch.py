"""What nodes tell, in whatever order it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afield.controller.real import REAL
from afield.controller.watch import Watch
from afield.errors import StoreRefused
from afield.model.attempt import Attempt, Placement, State
from afield.model.ids import AttemptId, JobNumber, NodeName, Nonce
from afield.store.output import Mirror

ID, NODE = AttemptId(JobNumber(1), 1), NodeName("a")


def facts(*, ended: bool) -> dict[str, Any]:
    final: dict[str, Any] | None = (
        {"by_us": False, "why": None, "cause": None, "survivors": [], "stage": None} if ended else None
    )
    return {
        "lock": "free" if ended else "held",
        "final": final,
        "sealed": None,
        "ready": None,
        "stages": {},
        "processes": {},
    }


def watch(folder: Path) -> Watch:
    return Watch(Mirror(folder), lambda _: None, lambda _: None, REAL.clock)


def test_a_late_answer_does_not_undo_what_was_pushed(tmp_path: Path) -> None:
    """Seen in a run of 400 jobs: the answer to `launch` came after the push of the end, and the job hung."""
    seen = watch(tmp_path)
    seen.heard(ID, NODE, facts(ended=True))
    seen.answered(ID, NODE, facts(ended=False))
    assert seen.tracker(ID).known[NODE] == facts(ended=True)


def test_an_answer_counts_where_nothing_was_pushed_and_where_it_is_the_last_word(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    seen.answered(ID, NODE, facts(ended=False))
    seen.answered(ID, NODE, facts(ended=True))
    assert seen.tracker(ID).known[NODE] == facts(ended=True)


def test_a_failed_setup_is_quoted_with_what_came_after_its_end(tmp_path: Path) -> None:
    """Seen after a cut: the end of a build was known first, and uv's error came when the end was written down."""
    seen = watch(tmp_path)
    said = "environment: exit code 1 on a\nDownloading pear"
    failed = Attempt(ID, Nonce("n"), (Placement(0, 0, 0, NODE),), placed_at=0.0, state=State.ENDED, detail=said)
    assert seen.quoted(failed) == failed.detail
    seen.mirror.append("1.1", "stage.environment@a/err", 0, b"Downloading pear\n")
    seen.mirror.append("1.1", "stage.environment@a/err", 17, b"error: refused\n")
    assert seen.quoted(failed) == "environment: exit code 1 on a\nDownloading pear\nerror: refused"


def test_progress_is_of_the_latest_word_and_no_reason_to_look_at_the_job_again(tmp_path: Path) -> None:
    looked: list[AttemptId] = []
    seen = Watch(Mirror(tmp_path), looked.append, lambda _: None, REAL.clock)
    word = {"done": 1.0, "total": 4.0, "at": 9.0}
    assert seen.progress(ID) is None
    seen.pushed(NODE, {"on": "progress", "attempt": "1.1", "progress": word}, b"")
    assert seen.progress(ID) is None, "of a node that told nothing of the folder yet"
    seen.heard(ID, NODE, {**facts(ended=False), "progress": word})
    seen.heard(ID, NodeName("b"), {**facts(ended=False), "progress": None})
    assert seen.progress(ID) == word
    before = len(looked)
    seen.pushed(NODE, {"on": "progress", "attempt": "1.1", "progress": {**word, "done": 2.0}}, b"")
    assert seen.progress(ID) == {**word, "done": 2.0}
    assert len(looked) == before


def out(offset: int, data: bytes) -> tuple[dict[str, Any], bytes]:
    return {"on": "out", "attempt": "1.1", "stream": "p0/out", "offset": offset, "gap": None}, data


def test_bytes_behind_those_that_a_full_disk_refused_are_no_gap(tmp_path: Path) -> None:
    """Seen with the controller's disk full: what came later was kept behind a gap, though the node had every byte."""
    seen = watch(tmp_path)
    full = tmp_path / "1.1" / "p0.out"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    with pytest.raises(StoreRefused, match="disk full"):
        seen.pushed(NODE, *out(0, b"abc"))
    seen.mirror.close()
    full.unlink()
    seen.pushed(NODE, *out(3, b"def"))
    seen.pushed(NODE, *out(0, b"abcdef"))
    seen.pushed(NODE, *out(6, b"ghi"))
    assert seen.mirror.read("1.1", "p0/out", 0, 100)[0] == b"abcdefghi"
    assert seen.mirror.gaps("1.1", "p0/out") == []


def test_an_end_is_complete_once_every_folder_that_can_be_looked_at_was(tmp_path: Path) -> None:
    """Found by kills at labels: a controller that was just started acknowledged an end before it saw the folder."""
    seen = watch(tmp_path)
    attempt = Attempt(ID, Nonce("n"), (Placement(0, 0, 0, NODE),), placed_at=0.0, state=State.ENDED)
    assert not seen.complete(attempt, lambda _: True)
    assert seen.complete(attempt, lambda _: False)
    process = {"started": None, "exit": None, "alive": False, "out": 5, "err": 0}
    seen.heard(ID, NODE, {**facts(ended=True), "processes": {"0": process}})
    assert not seen.complete(attempt, lambda _: True)
    seen.pushed(NODE, *out(0, b"bytes"))
    assert seen.complete(attempt, lambda _: True)
