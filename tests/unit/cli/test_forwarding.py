"""What a forward says: addresses on stdout once, and of all that happens each thing once, on stderr."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afield.cli.forwarding import Talk
from afield.sdk.forward import Way
from afield.sdk.offer import Offer


def opened(node: str = "box1", **ports: int) -> dict[str, Any]:
    return {"on": "open", "node": node, "ways": {}, "ports": {place.lstrip("p"): port for place, port in ports.items()}}


def listens(yes: bool | None, place: str = "80") -> dict[str, Any]:
    return {"on": "listens", "place": place, "yes": yes}


CUT = {"on": "cut", "node": "box1", "why": "the node hung up"}


def told(capsys: pytest.CaptureFixture[str], talk: Talk, *events: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(lines on stdout, lines on stderr) of these events; the hint is left out."""
    for event in events:
        talk.tell(event)
    out, err = capsys.readouterr()
    return out.splitlines(), [line for line in err.splitlines() if "Ctrl-C" not in line]


def test_addresses_are_said_once_and_a_cut_once(capsys: pytest.CaptureFixture[str]) -> None:
    again = opened(p80=8080)
    out, err = told(capsys, Talk(None), again, CUT, CUT, again, CUT, again)
    assert out == ["127.0.0.1:8080 → box1:80"]
    assert err == 2 * [
        "! the connection to box1 is lost (the node hung up); it is opened again as soon as it can",
        "✓ the forward to box1 is there again",
    ]


def test_a_job_that_goes_on_elsewhere_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    waits = {"on": "waiting", "why": "job 3 is queued"}
    _, err = told(capsys, Talk(None), opened(p80=80), waits, opened("box2", p80=80))
    assert err == ["waiting: job 3 is queued", "✓ the forward to box2 is there again"]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([True], []),
        ([None], []),
        ([False], ["nothing listens at port 80 of box1 yet"]),
        ([False, True], ["nothing listens at port 80 of box1 yet", "✓ something listens at port 80 of box1 now"]),
        ([True, False], ["nothing listens at port 80 of box1 any more"]),
    ],
)
def test_who_listens_is_said_when_it_matters(
    seen: list[bool | None], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, Talk(None), opened(p80=80), *(listens(yes) for yes in seen))[1] == said


def test_what_a_job_offers_is_said_as_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    offer = Offer("jupyter", Way("/run/s", 8888), "lab?token=secret", "api")
    talk = Talk(None, {"/run/s": offer})
    talk.tell({"on": "open", "node": "box1", "ways": {}, "ports": {"/run/s": 4711}})
    assert capsys.readouterr().out == "jupyter: http://127.0.0.1:4711/lab?token=secret\n"


def test_as_json_everything_is_a_line_whole_or_in_fields(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, Talk(""), CUT, listens(True))
    assert [json.loads(line) for line in out] == [{"schema": 1, **CUT}, {"schema": 1, **listens(True)}]
    assert err == []
    assert [json.loads(line) for line in told(capsys, Talk("on,why"), CUT)[0]] == [
        {"schema": 1, "on": "cut", "why": "the node hung up"}
    ]


def test_what_the_next_attempt_offers_is_said_anew(capsys: pytest.CaptureFixture[str]) -> None:
    first = Offer("jupyter", Way("/run/s", 8888), "lab?token=old", "api", attempt=1)
    talk = Talk(None, {"/run/s": first})
    open1 = {"on": "open", "node": "box1", "attempt": 1, "ways": {}, "ports": {"/run/s": 4711}}
    moved = {"on": "moved", "node": "box2", "attempt": 2}
    out, err = told(capsys, talk, open1, CUT, moved)
    assert out == ["jupyter: http://127.0.0.1:4711/lab?token=old"]
    assert err[-1] == "attempt 2 of the job is on box2; its page comes here when there is one"
    talk.renewed({"/run/t": Offer("jupyter", Way("/run/t", 8888), "lab?token=new", "api", attempt=2)})
    out, err = told(capsys, talk, {**open1, "node": "box2", "attempt": 2, "ports": {"/run/t": 4711}})
    assert (out, err) == (["jupyter: http://127.0.0.1:4711/lab?token=new"], [])
