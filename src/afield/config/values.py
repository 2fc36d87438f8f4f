"""Reads one value of a setting as people write it, shows it again, and has words for mistakes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from afield.config.keys import BY_NAME, Key, Kind
from afield.errors import UsageError
from afield.model.amount import format_time, parse_time


def read(key: Key, value: Any) -> Any:
    """The value as the program wants it: seconds, tuples, a table of variables. Raises UsageError."""
    found = _READERS[key.kind](key, value)
    if key.choices and found not in key.choices:
        raise UsageError(
            f"{key.name} = {value!r} is none of {', '.join(key.choices)}", hints=_like(str(value), key.choices)
        )
    return found


def _text(key: Key, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(key, value)
    return value


def _number(key: Key, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(key, value)
    if value < 0 and key.name != "priority":
        raise UsageError(f"{key.name} = {value} is wrong", why="it is 0 or more")
    return value


def _switch(key: Key, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, value)
    return value


def _time(key: Key, value: Any) -> float:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if key.name == "grace" and text in ("0", "0s"):
        return 0.0
    try:
        return parse_time(text)
    except UsageError as error:
        raise UsageError(f"{key.name} = {value!r}: {error.what}", why=error.why, hints=error.hints) from error


def _words(key: Key, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise _wrong(key, value)
    return tuple(words)


def _names(key: Key, value: Any) -> tuple[str, ...]:
    names = tuple(name.strip().removeprefix("node:") for word in _words(key, value) for name in word.split(","))
    if "" in names:
        raise UsageError(f"{key.name} = {value!r} has an empty name", hints=["afield node ls"])
    return names


def _patterns(key: Key, value: Any) -> tuple[str, ...]:
    words = _words(key, value)
    for word in words:
        if not word.strip() or word.startswith(("/", "~")) or ".." in word.split("/"):
            why = "files come home from the job's own folder and from OUTPUT_DIR"
            hints = ["--outputs '*.pt'", "write to OUTPUT_DIR", "afield pull NODE:/folder/file    for other places"]
            raise UsageError(f"{key.name} = {word!r} fits nothing there", why=why, hints=hints)
    return words


def _command(key: Key, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return ("/bin/sh", "-c", value) if value.strip() else ()
    return _words(key, value)


def _variables(key: Key, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return dict(_variable(word) for word in _words(key, value))
    found = {}
    for name, content in value.items():
        if not isinstance(content, str | int) or isinstance(content, bool):
            raise UsageError(f"{key.name}.{name} = {content!r} is no text")
        found[_named(name)] = str(content)
    return found


def _variable(word: str) -> tuple[str, str]:
    name, given, value = word.partition("=")
    _named(name)
    if not given and name not in os.environ:
        raise UsageError(f"the variable {name} is not set here", hints=[f"-e {name}=VALUE"])
    return name, value if given else os.environ[name]


def _named(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise UsageError(f"{name!r} is no name of a variable", hints=["-e NAME=VALUE"])
    return name


_READERS: Mapping[Kind, Callable[[Key, Any], Any]] = MappingProxyType(
    {
        Kind.TEXT: _text,
        Kind.NUMBER: _number,
        Kind.SWITCH: _switch,
        Kind.TIME: _time,
        Kind.WORDS: _words,
        Kind.NAMES: _names,
        Kind.PATTERNS: _patterns,
        Kind.COMMAND: _command,
        Kind.VARIABLES: _variables,
    }
)


def shown(key: Key, value: Any) -> str:
    """A value that `read` gave, as people write it."""
    if value is None or value == ():
        return ""
    if key.kind is Kind.TIME:
        return format_time(value) if value else "0s"
    if key.kind is Kind.COMMAND:
        return str(value[2]) if value[:2] == ("/bin/sh", "-c") else " ".join(value)
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(key: Key, value: Any) -> UsageError:
    return UsageError(f"{key.name} = {value!r} is wrong", why=f"it must be {key.kind}")


def unknown(name: str) -> UsageError:
    """The mistake of a key that does not exist."""
    return UsageError(f"there is no setting {name!r}", hints=_like(name, tuple(BY_NAME)))


def _like(word: str, known: Sequence[str]) -> list[str]:
    import difflib  # noqa: PLC0415 only for mistakes

    close = difflib.get_close_matches(word.lower(), known, n=3)
    return [f"did you mean {' or '.join(close)}?"] if close else [f"one of {', '.join(known)}"]
