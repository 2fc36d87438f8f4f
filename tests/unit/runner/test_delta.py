"""The delta stream: however it is cut it says the same; what is damaged is refused and takes no more than announced."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.runner import delta

KINDS = (delta.FILE, delta.PROGRAM, delta.LINK)
PATHS = st.lists(st.sampled_from([b"a", b"b.c", b"\xff", b"n" * 30, b" "]), min_size=1, max_size=3).map(b"/".join)
RECORDS = st.one_of(
    st.tuples(st.sampled_from([delta.REMOVE, delta.PLAIN, delta.RUNNABLE]), PATHS, st.just(b"")),
    st.tuples(st.sampled_from(KINDS), PATHS, st.binary(max_size=60)),
)


class Told:
    """What a reader says, in words; the pieces of one content are put together."""

    def __init__(self):
        self.words = []
        self.room = 0

    def remove(self, path):
        self.words.append(("remove", path))

    def mode(self, path, kind):
        self.words.append(("mode", path, kind))

    def begin(self, path, kind, size):
        self.room = size
        self.words.append(["begin", path, kind, size, b"", False])

    def data(self, data):
        self.room -= len(data)
        assert self.room >= 0, "more than was announced"
        assert len(data) <= delta.STEP
        self.words[-1][4] += data

    def end(self):
        self.words[-1][5] = True


def record(kind, path, content):
    head = struct.pack(">BI", kind, len(path)) + path
    if kind not in KINDS:
        return head
    packed = zlib.compress(content)
    return head + struct.pack(">QQ", len(content), len(packed)) + packed


def words(records):
    told: list = []
    for kind, path, content in records:
        if kind == delta.REMOVE:
            told.append(("remove", path))
        elif kind in KINDS:
            told.append(["begin", path, kind, len(content), content, True])
        else:
            told.append(("mode", path, kind))
    return told


def read(stream, size):
    told = Told()
    reader = delta.Reader(told)
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
    reader.finish()
    return told.words


@settings(max_examples=60)
@given(st.lists(RECORDS, max_size=4), st.integers(1, 40))
def test_a_stream_says_the_same_however_it_is_cut(records, size):
    stream = b"".join(record(*each) for each in records)
    assert read(stream, size) == words(records)
    for cut in range(len(stream) + 1):
        told = Told()
        reader = delta.Reader(told)
        reader.feed(stream[:cut])
        reader.feed(stream[cut:])
        reader.finish()
        assert told.words == words(records)


@settings(max_examples=40)
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_a_stream_that_ends_early_says_less_and_that_it_is_cut(records):
    packed = [record(*each) for each in records]
    ends = [sum(map(len, packed[:i])) for i in range(len(packed) + 1)]
    stream = b"".join(packed)
    for cut in range(len(stream)):
        if cut in ends:
            assert read(stream[:cut], 7) == words(records[: ends.index(cut)])
        else:
            with pytest.raises(delta.DeltaError, match="cut"):
                read(stream[:cut], 7)


@settings(max_examples=30)
@given(st.lists(RECORDS, min_size=1, max_size=3), st.sampled_from([0x01, 0x02, 0x80, 0xFF]))
def test_a_wrong_byte_is_refused_or_says_something_else_within_what_it_announces(records, bits):
    stream = b"".join(record(*each) for each in records)
    for at in range(len(stream)):
        broken = bytearray(stream)
        broken[at] ^= bits
        try:
            said = read(bytes(broken), len(broken))
        except delta.DeltaError:
            continue
        for word in said:
            delta.check(word[1])
            assert word[0] != "begin" or (word[5] and len(word[4]) == word[3])


def test_a_small_stream_of_a_large_file_stops_where_it_was_announced_to_end():
    bomb = zlib.compress(b"\0" * (64 << 20))
    told = Told()
    with pytest.raises(delta.DeltaError, match="damaged"):
        delta.Reader(told).feed(
            struct.pack(">BI", delta.FILE, 1) + b"a" + struct.pack(">QQ", 3 << 20, len(bomb)) + bomb
        )
    assert len(told.words[0][4]) == 3 << 20


def test_a_link_as_long_as_a_file_is_refused_before_it_is_kept():
    told = Told()
    with pytest.raises(delta.DeltaError) as caught:
        delta.Reader(told).feed(record(delta.LINK, b"a", b"x" * 100_000))
    assert "100000" in caught.value.why
    assert told.words == []
