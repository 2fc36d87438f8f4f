"""Every event and noun comes back as it was; what a newer afield wrote is refused, not guessed."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afield.errors import StoreRefused
from afield.model import event as ev
from afield.model.ids import JobNumber
from afield.model.job import Job
from afield.model.node import Node
from afield.model.request import Request
from afield.model.task import Task
from afield.store import codec
from tests.unit.store.values import any_of, submitted


@given(st.one_of(*map(any_of, typing.get_args(ev.Event))))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_events_come_back(event: ev.Event) -> None:
    kind, text = codec.encode_event(event)
    text.encode()
    assert codec.decode_event(kind, text) == event
    assert type(codec.decode_event(kind, text)) is type(event)


@pytest.mark.parametrize("noun", [Job, Node])
def test_nouns_come_back(noun: type) -> None:
    @given(any_of(noun))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def check(value: object) -> None:
        assert codec.decode(noun, codec.encode(value)) == value

    check()


def test_argv_keeps_bytes_that_are_no_text() -> None:
    argv = ("caf\udce9", "snow \u2603", "nul \0", "backslash \\ud800", "\ud800")
    event = submitted(1, argv=argv)
    found = codec.decode_event(*codec.encode_event(event))
    assert isinstance(found, ev.JobSubmitted)
    assert found.task.argv == argv


def test_every_event_has_a_word_and_every_word_is_snake_case() -> None:
    assert set(codec.KINDS.values()) == set(typing.get_args(ev.Event))
    assert len(codec.KINDS) == len(typing.get_args(ev.Event))
    for word, kind in codec.KINDS.items():
        assert word == "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(StoreRefused, match="teleported") as caught:
        codec.decode_event("teleported", "{}")
    assert caught.value.hints


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("colour",), "red", "colour"),
        (("task", "colour"), "red", "task.colour"),
        (("policy",), "perhaps", "policy"),
        (("job",), None, "job"),
        (("request", "groups"), [], "at least one process"),
    ],
)
def test_what_a_newer_afield_wrote_is_refused_with_its_place(path: tuple[str, ...], value: object, named: str) -> None:
    kind, text = codec.encode_event(submitted(1))
    body = json.loads(text)
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(StoreRefused) as caught:
        codec.decode_event(kind, json.dumps(body))
    assert named in caught.value.why


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '"\\ud800', '{"job":"\\udc80"}'])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(StoreRefused):
        codec.decode_event("job_held", text)


def test_fields_that_an_older_afield_did_not_write_take_their_defaults() -> None:
    found = codec.decode(Task, '{"argv":["true"]}')
    assert found == Task(argv=("true",))
    held = codec.decode(ev.JobHeld, '{"job":3,"reason":"why"}')
    assert held == ev.JobHeld(JobNumber(3), "why")
    assert codec.decode(Request, "{}") == Request()
