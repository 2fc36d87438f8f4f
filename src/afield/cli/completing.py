"""Answers the Tab key: `afield completion --words N WORD...`, as the shells' scripts ask.

It loads no click and starts nothing.

What can be said is kept in a file per build; live names come from the controller's socket when it answers at once, else
from what it said last. Whatever goes wrong completes nothing and says nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time

TYPE_CHECKING = False  # read by type checkers as true; each press of the key would pay for loading typing
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Grammar = dict[str, Any]
    Words = list[tuple[str, str]]

ANSWER_S = 0.1
"""How long a living controller may take for its names before the key press goes on without it."""

FRESH_S = 2.0
"""Names that are younger are not asked for again: a person presses the key twice."""

FILES = "files"
"""The first line of an answer when the shell completes file names too; else it is `words`."""


def main(argv: Sequence[str]) -> None:
    """Print what completes a line: `files` or `words`, then a candidate a line, with a tab before what it is."""
    try:
        at, line = int(argv[0]), list(argv[1:])
        word = line[at] if at < len(line) else ""
        kind, found = candidates(line[1:at], word)
        print(FILES if kind == FILES else "words")
        for value, about in found:
            if value.startswith(word):
                print(f"{value}\t{about}" if about else value)
    except Exception:  # noqa: BLE001 a fault here must not write into the line that is being typed
        return


def candidates(before: list[str], word: str) -> tuple[str, Words]:
    """(kind, candidates) for a word after others; kind is `files` where file names are right too."""
    grammar = _grammar()
    path, rest = _command(grammar, before)
    here = grammar[path]
    if "commands" in here:
        return "words", list(here["commands"].items()) if not rest else []
    place = _place(here, rest)
    if place is not None and rest and place is not _ARGUMENT:
        return _values(place)
    if word.startswith("-") and place is not None:
        if word.startswith("--") and "=" in word:
            option = word.partition("=")[0]
            kind, found = _values(here["options"].get(option, ["", ""])[0])
            return kind, [(f"{option}={value}", about) for value, about in found]
        return "words", [(name, about) for name, (_, about) in here["options"].items()]
    return _values(here["argument"])


_ARGUMENT = "argument"


def _command(grammar: Grammar, words: list[str]) -> tuple[str, list[str]]:
    """The longest command that the words begin with, and the words after it."""
    path = ""
    for number, word in enumerate(words):
        if word not in grammar[path].get("commands", {}):
            return path, words[number:]
        path = f"{path} {word}".strip()
    return path, []


def _place(here: Grammar, words: list[str]) -> str | None:
    """What stands next: the kind of an option's value, an argument, or None where options are over."""
    expected = _ARGUMENT
    for word in words:
        if expected != _ARGUMENT:
            expected = _ARGUMENT
        elif word == "--":
            return None
        elif word.startswith("-"):
            kind = here["options"].get(word, ["flag"])[0]
            expected = _ARGUMENT if kind == "flag" else kind or "none"
        elif not here["interspersed"]:
            return None
    return expected


def _values(kind: str) -> tuple[str, Words]:
    name, _, choices = kind.partition(":")
    if name == "choice":
        return "words", [(choice, "") for choice in choices.split(",")]
    if name in ("node", "job", "secret", "place"):
        known = names()
        nodes: Words = [(n, health) for n, health in known.get("nodes", ())]
        jobs: Words = [(str(number), about) for number, about in known.get("jobs", ())]
        found: dict[str, Words] = {
            "node": nodes,
            "job": [*jobs, *([("@last", "the newest job")] if jobs else [])],
            "secret": [(n, "") for n in known.get("secrets", ())],
            "place": [*((f"{n}:", health) for n, health in nodes), *((f"{n}:", about) for n, about in jobs)],
        }
        return FILES if name == "place" else "words", found[name]
    return (FILES if name == FILES else "words"), []


# ---- what can be said ------------------------------------------------------------------------------------------------


def _grammar() -> Grammar:
    from afield.build import build
    from afield.folders import cache_folder

    path = os.path.join(cache_folder(), f"completion-{build()}.json")
    try:
        with open(path, encoding="utf-8") as file:
            found: Grammar = json.load(file)
            return found
    except (OSError, ValueError):
        from afield.cli.grammar import grammar  # loads click and every verb: once per build

        found = grammar()
        for name in _others(path):
            os.unlink(name)
        _keep(path, found)
        return found


def _others(path: str) -> list[str]:
    folder = os.path.dirname(path)
    try:
        listed = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, n) for n in listed if n.startswith("completion-") and n.endswith(".json")]


def _keep(path: str, value: object) -> None:
    part = f"{path}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(part, path)
    except OSError:
        return


# ---- live names ------------------------------------------------------------------------------------------------------


def names() -> Grammar:
    """What the controller said of its nodes, jobs and secrets, now or last; {} when nothing was ever said."""
    from afield.folders import Folders

    folders = Folders()
    path = os.path.join(folders.cache, f"names-{os.path.basename(folders.socket)}.json")
    try:
        with open(path, encoding="utf-8") as file:
            kept: Grammar = json.load(file)
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError):
        kept, age = {}, FRESH_S
    if 0 <= age < FRESH_S:
        return kept
    try:
        folders.check()
        fresh = _asked(folders.socket, folders.token)
    except Exception:  # noqa: BLE001 nobody listens, or not in time: what was said last is better than nothing
        return kept
    _keep(path, fresh)
    return fresh


def _asked(path: str, token: str) -> Grammar:
    """The controller's answer, with the bare socket: the library for HTTP takes longer to load than it to answer."""
    with open(token, encoding="ascii") as file:
        bearer = file.read()
    request = f"GET /v1/names HTTP/1.0\r\nHost: afield\r\nAuthorization: Bearer {bearer}\r\n\r\n"
    until = time.monotonic() + ANSWER_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(path)
        connection.sendall(request.encode("ascii"))
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
            connection.settimeout(max(0.001, until - time.monotonic()))
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise OSError(head.partition(b"\r\n")[0])
    found: Grammar = json.loads(body)
    return found
