"""Bytes of jobs on a terminal: what passes and what is only shown."""

from __future__ import annotations

import pytest
from hypothesis import given
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


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_prefixed_lines_keep_every_byte(pieces: list[bytes]) -> None:
    lines = Lines(b"")
    got = b"".join(lines.feed(p) for p in pieces) + lines.rest()
    raw = b"".join(pieces)
    assert got in (raw, raw + b"\n")
