"""Frames survive any cutting; what is no frame is refused."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import example, given, settings
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
        pytest.param(struct.pack(">II", 200_000, 0) + b"[" * 200_000, id="deep"),
        pytest.param(struct.pack(">II", 9_000, 0) + b'{"a":' + b"1" * 8_994 + b"}", id="long number"),
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


def fed(stream, size):
    """What comes out of a stream in pieces of a size, and how it ended: "" or what was wrong."""
    decoder, got = wire.Decoder(), []
    for at in range(0, len(stream), size):
        try:
            got += decoder.feed(stream[at : at + size])
        except wire.WireError as error:
            return got, str(error)
        assert decoder.pending <= 8 + wire.HEAD_LIMIT + wire.DATA_LIMIT
    return got, ""


STORY = [
    ({"id": 1, "do": "launch", "argv": ["caf\udce9"]}, b"\0\xff" * 9),
    ({}, b""),
    ({"re": 1, "more": True}, b"end"),
]
PACKED = [wire.pack(head, data) for head, data in STORY]
ENDS = [sum(map(len, PACKED[: i + 1])) for i in range(len(PACKED))]


def test_a_stream_cut_at_any_byte_gives_the_frames_before_the_cut():
    stream = b"".join(PACKED)
    for cut in range(len(stream) + 1):
        decoder = wire.Decoder()
        whole = sum(end <= cut for end in ENDS)
        assert decoder.feed(stream[:cut]) == STORY[:whole]
        assert decoder.pending == cut - ([0, *ENDS][whole])
        assert decoder.feed(stream[cut:]) == STORY[whole:]


@pytest.mark.parametrize("bits", [0x01, 0x20, 0x80, 0xFF])
def test_a_wrong_byte_changes_nothing_before_it_and_is_no_endless_wait_for_more_than_a_frame(bits):
    stream = b"".join(PACKED)
    for at in range(len(stream)):
        broken = bytearray(stream)
        broken[at] ^= bits
        before = sum(end <= at for end in ENDS)
        got, _ = fed(bytes(broken), 1)
        assert got[:before] == STORY[:before], at
        for head, data in got:
            assert isinstance(head, dict), at
            assert len(data) <= len(stream), at


@settings(max_examples=200)
@given(st.binary(max_size=80), st.integers(1, 80))
@example(struct.pack(">II", 2, 0) + b"{}" + b"\xff" * 8, 3)
def test_noise_gives_the_same_however_it_is_cut(noise, size):
    got, wrong = fed(noise, size)
    slowly, wrong_slowly = fed(noise, 1)
    assert wrong == wrong_slowly
    # A piece with a broken frame in it is lost whole: the connection ends there.
    assert got == slowly if not wrong else slowly[: len(got)] == got
