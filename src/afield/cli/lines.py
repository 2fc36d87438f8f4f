"""The output of a job as JSON lines: one object for each line that a program wrote, and one for the end."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Mapping
from typing import Any

from afield.cli import show
from afield.cli.fold import matches
from afield.cli.follow import View
from afield.cli.streams import Choice


def as_json_lines(frames: Iterable[tuple[Mapping[str, Any], bytes]], choice: Choice, fields: str = "") -> View:
    """Print objects as the lines come; gives the job's last view. Bytes that are no UTF-8 are replaced."""
    decoders: dict[str, codecs.IncrementalDecoder] = {}
    held: dict[str, tuple[Mapping[str, Any], str]] = {}
    view: View = {}
    for head, data in frames:
        if head["on"] == "out" and head["rank"] is not None and choice.takes(head):
            decoder = decoders.setdefault(head["key"], codecs.getincrementaldecoder("utf-8")("replace"))
            text = held.pop(head["key"], (head, ""))[1] + decoder.decode(data)
            *lines, rest = text.split("\n")
            for line in lines:
                _say(head, line, choice, fields)
            if rest:
                held[head["key"]] = (head, rest)
        elif head["on"] in ("job", "end"):
            view = head["job"]
    for head, text in held.values():
        _say(head, text, choice, fields)
    print(json.dumps({"schema": 1, "on": "end", "job": view}))
    return view


def _say(head: Mapping[str, Any], text: str, choice: Choice, fields: str) -> None:
    if choice.grep is not None and not matches(choice.grep, text.encode()):
        return
    said = {"schema": 1, "on": "line", "attempt": head["attempt"], "rank": head["rank"], "stream": head["stream"]}
    show.as_json({**said, "text": text}, fields)
