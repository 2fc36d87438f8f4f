"""The options of a job as keywords, for type checkers: the settings by name, and what is said once.

A test compares the lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class Options(TypedDict, total=False):
    """What `run`, `function` and `Executor` take; docs/reference/settings.md says what each means."""

    node: str | Sequence[str]
    request: str
    need: str
    gpus: int
    time: str
    policy: str
    priority: int
    name: str
    environment: str
    python: str
    dirs: str | Sequence[str]
    setup: str | Sequence[str]
    preflight: str | Sequence[str]
    env: Mapping[str, str | int] | Sequence[str]
    secrets: str | Sequence[str]
    outputs: str | Sequence[str]
    continues: int
    merge: bool
    end: str
    grace: str
    file: str
    big: bool
    no_sync: bool
    no_preflight: bool
    setup_again: bool
