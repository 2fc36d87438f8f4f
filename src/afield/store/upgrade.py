"""Rows of an older build, brought to the form of this one: the only place that knows how nouns and events once were.

A store names the form of its rows in `about`; a store of a later form is refused when it is opened. FORM grows by one
whenever a stored noun or event gains, loses or changes a field:

- a field that came has a default; an older row needs nothing then;
- a field that went or changed its name is told in `_UPGRADE`, under the type that had it;
- a field never changes its meaning: it goes, and another comes.

Rows are upgraded when they are read. The log keeps what was written; a job's row is written anew when it changes.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from afield.model.task import Task

FORM = 4
"""1 is every store from before forms were counted; 3 has what tasks collect, attach, found as imports and set up;
4 the names of their secrets, and memory of devices, asked for and taken."""

Fields = dict[str, Any]


def _without(*names: str) -> Callable[[Fields], Fields]:
    return lambda fields: {name: value for name, value in fields.items() if name not in names}


_UPGRADE: Mapping[type[Any], Callable[[Fields], Fields]] = MappingProxyType(
    {
        # 1 -> 2: was recorded and never read; results are what lies in the attempt's outputs folder.
        Task: _without("outputs"),
    }
)
"""From the fields of a type in any older form to those of this one. Fields of this form it leaves as they are."""


def upgraded(hint: Any, value: Any) -> Any:
    """A JSON value as this build would have written it, by the type it is to have. What fits no type stays as it is."""
    if isinstance(value, list):
        inner = _inner(hint)
        return value if inner is None else [upgraded(inner, each) for each in value]
    noun: Any = next((t for t in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(t)), None)
    if noun is None or not isinstance(value, dict):
        return value
    fields = _UPGRADE[noun](value) if noun in _UPGRADE else value
    hints = _hints(noun)
    return {name: upgraded(hints.get(name), each) for name, each in fields.items()}


def _inner(hint: Any) -> Any:
    """The type of what a tuple of any length holds; None for everything else."""
    for each in (hint, *typing.get_args(hint)):
        arguments = typing.get_args(each)
        if typing.get_origin(each) is tuple and arguments[1:] == (Ellipsis,):
            return arguments[0]
    return None


@cache
def _hints(noun: Any) -> dict[str, Any]:
    return typing.get_type_hints(noun)
