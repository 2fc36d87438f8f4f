"""Places as people write them."""

from __future__ import annotations

import pytest

from afield.errors import UsageError
from afield.sdk.places import Place, is_place, parse


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("box1:data/x", Place("data/x", node="box1")),
        ("node:box1:data/x", Place("data/x", node="box1")),
        ("node:box1:0:data", Place("data", node="box1", worker=0)),
        ("node:home:x", Place("x", node="home")),
        ("box1:", Place("", node="box1")),
        ("box1:shared:a b", Place("a b", node="box1", area="shared")),
        ("box1:/scratch/x", Place("/scratch/x", node="box1", area="")),
        ("box1:~/x", Place("~/x", node="box1", area="")),
        ("box1:odd:name", Place("odd:name", node="box1")),
        ("home:x", Place("x")),
        ("shared:x", Place("x", area="shared")),
        ("12:keep/a", Place("keep/a", job=12, area="")),
        ("job:12:keep/a", Place("keep/a", job=12, area="")),
        ("@last:outputs", Place("outputs", job="@last", area="")),
    ],
)
def test_a_word_is_a_place(word: str, place: Place) -> None:
    assert is_place(word)
    assert parse(word) == place


@pytest.mark.parametrize("word", ["x", "./a:b", "a/b:c", "/abs", "..", "dir/", ""])
def test_a_word_is_a_path_here(word: str) -> None:
    assert not is_place(word)
    with pytest.raises(UsageError, match="no place"):
        parse(word)


def test_a_job_has_a_number() -> None:
    for word in ("job:x:y", "0:x", "job:0:x"):
        with pytest.raises(UsageError, match="names no job"):
            parse(word)
