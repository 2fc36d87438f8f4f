"""Frames survive any cutting; what is no frame is refused."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.runner import wire

heads = st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.booleans() | st.none(), max_size=4)
frames = st.lists(st.tuples(heads, st.binary(max_size=300)), max_size=5)


@given(frames, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent, cuts):
    stream = b"".join(wire.pack(head, data) for head, data in sent)
    decoder, got, at, turn = wire.Decoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == sent
    assert decoder.pending == 0


@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_travel_in_heads(raw):
    ((head, _),) = wire.Decoder().feed(wire.pack({"path": os.fsdecode(raw)}))
    assert os.fsencode(head["path"]) == raw


@given(st.binary(max_size=200))
def test_prefix_and_data_are_the_frame(data):
    assert wire.prefix({"a": 1}, len(data)) + data == wire.pack({"a": 1}, data)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Welcome to the machine!",
        struct.pack(">II", 3, 0) + b"abc",
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", wire.HEAD_LIMIT + 1, 0),
        struct.pack(">II", 2, wire.DATA_LIMIT + 1),
    ],
)
def test_what_is_no_frame_is_refused(nonsense):
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(nonsense)


def test_a_frame_that_the_other_side_would_refuse_is_not_packed():
    with pytest.raises(wire.WireError):
        wire.pack({"long": "x" * wire.HEAD_LIMIT})
    with pytest.raises(wire.WireError):
        wire.prefix({}, wire.DATA_LIMIT + 1)
