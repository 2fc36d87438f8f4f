"""Bytes of jobs on a terminal: colours, carriage returns and erase-in-line pass, everything else is shown, not obeyed.

Off a terminal bytes pass as they are. A sequence or character cut between two chunks waits for its rest.
"""

from __future__ import annotations

import codecs
import re

_ALLOWED = re.compile(r"\x1b\[[0-9;:]{0,64}[mK]")
_UNFINISHED = re.compile(r"\x1b(\[[0-9;:]{0,64})?\Z")
"""Both take equally much, else it would matter where a stream was cut."""

_PLAIN = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]*")
_RESET = "\x1b[0m"


class Filter:
    """One stream on its way to a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._colour = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The safe text for these bytes; after the last ones no colour is left on."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if not final and (cut := _UNFINISHED.search(text)):
            self._held = text[cut.start() :]
            text = text[: cut.start()]
        text = self._clean(text)
        if final and self._colour:
            self._colour = False
            return text + _RESET
        return text

    def _clean(self, text: str) -> str:
        parts = []
        at = 0
        while at < len(text):
            plain = _PLAIN.match(text, at)
            assert plain is not None
            if plain.end() > at:
                parts.append(self._lines(plain.group()))
                at = plain.end()
                continue
            allowed = _ALLOWED.match(text, at)
            if allowed:
                self._colour = allowed.group() not in (_RESET, "\x1b[m") if allowed.group()[-1] == "m" else self._colour
                parts.append(allowed.group())
                at = allowed.end()
                continue
            parts.append(_visible(text[at]))
            at += 1
        return "".join(parts)

    def _lines(self, text: str) -> str:
        if self._colour and "\n" in text:
            self._colour = False
            return text.replace("\n", _RESET + "\n", 1)
        return text


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return "^" + chr(code + 0x40)
    if code == 0x7F:
        return "^?"
    return f"<{code:02x}>" if code < 0x100 else f"<U+{code:04X}>"


class Lines:
    """Whole lines, for jobs of several processes; an unfinished line waits for its end."""

    def __init__(self, prefix: bytes = b"", limit: int = 1 << 20) -> None:
        self._prefix = prefix
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The lines that are complete now (or too long to wait for), each with the prefix."""
        return b"".join(self._prefix + line for line in self.whole(data))

    def rest(self) -> bytes:
        """What is left, as a line of its own, with the prefix."""
        return b"".join(self._prefix + line for line in self.last())

    def whole(self, data: bytes) -> list[bytes]:
        """The lines that are complete now (or too long to wait for)."""
        self._held += data
        end = self._held.rfind(b"\n") + 1
        if end == 0 and len(self._held) > self._limit:
            return self.last()
        whole, self._held = bytes(self._held[:end]), self._held[end:]
        return whole.splitlines(keepends=True)

    def last(self) -> list[bytes]:
        """What is left, as a line of its own; nothing when nothing is."""
        held, self._held = bytes(self._held), bytearray()
        return [held + (b"" if held.endswith(b"\n") else b"\n")] if held else []
