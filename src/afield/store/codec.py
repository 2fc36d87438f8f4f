"""Facts and nouns as JSON text and back: the only place that knows how they lie in the store.

Text that is not UTF-8 (surrogate escapes in argv) is refused by the fast writer and reader; such values take those of
the standard library, which write lone surrogates as ASCII escapes.
"""

from __future__ import annotations

import json
from typing import Any, Optional, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from afield.errors import AfieldError, StoreRefused
from afield.model import event as ev
from afield.store.upgrade import upgraded

KINDS: dict[str, type[ev.Event]] = {
    "job_submitted": ev.JobSubmitted,
    "goal_set": ev.GoalSet,
    "job_held": ev.JobHeld,
    "job_released": ev.JobReleased,
    "job_decided": ev.JobDecided,
    "attempt_placed": ev.AttemptPlaced,
    "prepare_started": ev.PrepareStarted,
    "prepare_failed": ev.PrepareFailed,
    "attempt_started": ev.AttemptStarted,
    "stop_ordered": ev.StopOrdered,
    "attempt_exited": ev.AttemptExited,
    "never_started": ev.NeverStarted,
    "attempt_gone": ev.AttemptGone,
    "attempt_acked": ev.AttemptAcked,
    "node_added": ev.NodeAdded,
    "node_set": ev.NodeSet,
    "node_observed": ev.NodeObserved,
    "node_removed": ev.NodeRemoved,
}
"""The stable words of the log. A word never changes its meaning and is never used again."""

_WORDS: dict[type[ev.Event], str] = {cls: word for word, cls in KINDS.items()}
_CONFIG = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
_HINT = "nothing was changed; open it with the newest afield that ever wrote to it, and if this is it, report this"

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}

T = TypeVar("T")


def kind(event: ev.Event) -> str:
    """The stable word of an event's kind."""
    return _WORDS[type(event)]


def encode_event(event: ev.Event) -> tuple[str, str]:
    """An event as its kind and JSON text."""
    return _WORDS[type(event)], encode(event)


def decode_event(kind: str, text: str) -> ev.Event:
    """The event that `encode_event` wrote. Raises StoreRefused for unknown kinds, fields and values."""
    found = KINDS.get(kind)
    if found is None:
        raise StoreRefused(f"the store holds an event that this afield does not know: {kind}", hints=[_HINT])
    return decode(found, text)


def encode(value: object) -> str:
    """An event or a noun as JSON text."""
    adapter = _adapter(type(value))
    try:
        return adapter.dump_json(value).decode()
    except PydanticSerializationError:
        return json.dumps(adapter.dump_python(value, mode="json"), separators=(",", ":"))


def decode(cls: type[T], text: str) -> T:
    """The value of that type that `encode` wrote, in this build or an older one.

    Raises StoreRefused for fields and values that neither wrote.
    """
    adapter = _adapter(cls)
    try:
        value = _read(adapter, cls, text)
    except (ValueError, AfieldError) as error:
        raise _unreadable(cls, error) from error
    if value is None:
        raise _unreadable(cls, ValueError("it is null"))
    return cast(T, value)


def _read(adapter: TypeAdapter[Any], cls: type[Any], text: str) -> Any:
    """Most rows are of this build and pay nothing for the others."""
    try:
        return adapter.validate_python(json.loads(text)) if "\\ud" in text else adapter.validate_json(text)
    except ValidationError:
        return adapter.validate_python(upgraded(cls, json.loads(text)))


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """Made when first used: all of them take 60 ms."""
    found = _ADAPTERS.get(cls)
    if found is None:
        # pydantic takes no configuration for a bare dataclass, and hands that of a union on to the dataclasses in it.
        form: Any = Optional[cls]  # noqa: UP045 a value, no annotation
        found = _ADAPTERS[cls] = TypeAdapter(form, config=_CONFIG)
    return found


def _unreadable(cls: type[Any], error: Exception) -> StoreRefused:
    why = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return StoreRefused(f"the store holds a {cls.__name__} that this afield cannot read", why=why, hints=[_HINT])
