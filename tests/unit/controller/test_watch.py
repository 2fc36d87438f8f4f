"""What nodes tell, in whatever order it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afield.controller.watch import Watch
from afield.model.ids import AttemptId, JobNumber, NodeName
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
    return Watch(Mirror(folder), lambda _: None, lambda _: None)


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
