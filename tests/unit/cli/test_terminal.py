"""Bytes of jobs on a terminal: what passes and what is only shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afield.cli.terminal import Filter, Lines


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
        (b"50%\r100%\n", "50%\r100%\n"),
        (b"\x1b[2K\rnew", "\x1b[2K\rnew"),
        (b"\x1b]0;title\x07", "^[]0;title^G"),
        (b"\x1b[2J", "^[[2J"),
        (b"a\x00b", "a^@b"),
        (b"\xff", "\ufffd"),
        ("\u202eevil".encode(), "<U+202E>evil"),
        (b"\xc2\x9b31m", "<9b>31m"),
        (b"\x1b[31mred\nnext", "\x1b[31mred\x1b[0m\nnext"),
    ],
)
def test_what_a_terminal_gets(raw: bytes, shown: str) -> None:
    assert Filter().feed(raw, final=True) == shown


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_cut_changes_nothing(raw: bytes, cut: int) -> None:
    whole = Filter().feed(raw, final=True)
    halves = Filter()
    assert halves.feed(raw[:cut]) + halves.feed(raw[cut:], final=True) == whole


@given(st.binary(max_size=200))
def test_only_known_controls_come_out(raw: bytes) -> None:
    text = Filter().feed(raw, final=True)
    assert not set(text) & (set(map(chr, range(0x20))) - set("\n\r\t\x1b"))


RUDE = st.sampled_from(
    rb"\x1b[ \x1b]0;title \x07 \x1b\\ \x1b[2J \x1b[10;10H \x1b[?1049h \x1b[31m \x1b[0m \x1b[K \x1b[8m \x1bP \x1b(0 "
    rb"\x9b \xc2\x9b \x1b \xe2\x80\xae \xe2\x80 \xff \n \r caf\xc3\xa9 \xf0\x9f\x90\x8d m ; \b\b \x0b \x0e \x7f".split()
).map(lambda text: text.decode("unicode_escape").encode("latin-1"))
LONG = st.sampled_from([b"0" * 63, b"\x1b[" + b"1;" * 40 + b"m", b" "])
STREAMS = st.lists(RUDE | LONG | st.binary(max_size=6), max_size=12).map(b"".join)
HARMLESS = re.compile(r"(?:[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\x1b\[[0-9;:]*[mK])*")


@settings(max_examples=500)
@given(STREAMS)
@example(b"\x1b[" + b"1" * 65 + b"m")
@example(b"\x1b[8mhidden")
def test_nothing_moves_the_cursor_or_names_the_window_and_no_cut_changes_that(raw: bytes) -> None:
    whole = Filter().feed(raw, final=True)
    assert HARMLESS.fullmatch(whole), whole
    last = re.findall(r"\x1b\[[0-9;:]*m", whole)
    assert not last or last[-1] in ("\x1b[0m", "\x1b[m"), "no colour is left on"
    slowly = Filter()
    assert "".join(slowly.feed(raw[i : i + 1]) for i in range(len(raw))) + slowly.feed(b"", final=True) == whole
    for cut in range(len(raw)):
        halves = Filter()
        assert halves.feed(raw[:cut]) + halves.feed(raw[cut:], final=True) == whole, cut


@settings(max_examples=200)
@given(
    st.text(
        alphabet=st.characters(exclude_categories=["C"], exclude_characters="\u200e\u200f\u061c")
        | st.sampled_from("\n\r\t")
    )
)
def test_text_without_controls_is_the_same_afterwards(text: str) -> None:
    assert Filter().feed(text.encode(), final=True) == text


@settings(max_examples=100)
@given(st.binary(max_size=40).map(lambda b: b.replace(b"\x1b", b"e")))
def test_what_is_shown_tells_every_byte_of_text(raw: bytes) -> None:
    """Nothing is swallowed: what is readable in the raw bytes is in the text, in order."""
    shown = iter(Filter().feed(raw, final=True))
    readable = [c for c in raw.decode("utf-8", "replace") if c.isprintable()]
    assert all(c in shown for c in readable)


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_prefixed_lines_keep_every_byte(pieces: list[bytes]) -> None:
    lines = Lines(b"")
    got = b"".join(lines.feed(p) for p in pieces) + lines.rest()
    raw = b"".join(pieces)
    assert got in (raw, raw + b"\n")


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"b\r\n", b"\xff"]), max_size=12), st.integers(0, 20))
def test_prefixed_lines_are_the_same_however_they_are_cut(pieces: list[bytes], cut: int) -> None:
    raw = b"".join(pieces)
    whole, halves = Lines(b"0| "), Lines(b"0| ")
    assert halves.feed(raw[:cut]) + halves.feed(raw[cut:]) + halves.rest() == whole.feed(raw) + whole.rest()
