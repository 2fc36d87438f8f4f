"""Merges the layers, highest first, and remembers where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from afield.config import files, values
from afield.config.files import DEFAULT, Origin
from afield.config.keys import BY_NAME, KEYS, Kind
from afield.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path  # 3 ms to load


EXCLUDED = ("gpus", "need")
"""What cannot be said beside `request`, which says it too."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one call. `origins` has every key, and `env.NAME` for each variable. Times are in seconds.

    `request` excludes `gpus` and `need`: the one from the lower layer is back at its default.
    """

    node: tuple[str, ...] = ()
    request: str = ""
    need: str = ""
    gpus: int | None = None
    time: float | None = None
    policy: str = ""
    priority: int = 0
    name: str = ""
    environment: str = "auto"
    python: str = ""
    dirs: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    preflight: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    continues: int | None = None
    merge: bool = False
    end: str = "all"
    grace: float = 10.0
    origins: Mapping[str, Origin] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def rows(self) -> list[tuple[str, str, str]]:
        """(key, value, origin) of every setting, as people read them; variables one by one."""
        rows = []
        for key in KEYS:
            value = getattr(self, key.name)
            if key.kind is Kind.VARIABLES:
                rows += [(f"{key.name}.{k}", v, str(self.origins[f"{key.name}.{k}"])) for k, v in sorted(value.items())]
            else:
                rows.append((key.name, values.shown(key, value), str(self.origins.get(key.name, DEFAULT))))
        return rows


def load(root: Path | None, flags: Mapping[str, Any] | None = None, file: str = "") -> Settings:
    """The settings for a workspace (None: outside of any). A flag that is None was not given.

    `file` takes the place of the project's own `afield.toml`.

    Raises UsageError for unknown keys, wrong values and unreadable files, all of them at once, with file and line.
    """
    merge = _Merge()
    merge.layer({k: v for k, v in (flags or {}).items() if v is not None}, _flag)
    for rank, name in enumerate(files.names(root, file), 1):
        try:
            found = files.read(name, rank)
        except UsageError as error:
            merge.problems.append(error)
            continue
        if found is not None:
            merge.layer(found.values, found.origin)
    if merge.problems:
        raise _together(merge.problems)
    return merge.settings()


class _Merge:
    """Takes layers from the highest to the lowest."""

    def __init__(self) -> None:
        self.problems: list[UsageError] = []
        self._values: dict[str, Any] = {}
        self._variables: dict[str, str] = {}
        self._origins: dict[str, Origin] = {}

    def layer(self, said: Mapping[str, Any], where: Callable[[str], Origin]) -> None:
        """Add what this layer says and no higher one did."""
        for name, value in said.items():
            origin = where(name)
            key = BY_NAME.get(name)
            try:
                if key is None:
                    raise values.unknown(name)
                read = values.read(key, value)
            except UsageError as error:
                self.problems.append(_placed(error, origin))
                continue
            if key.kind is Kind.VARIABLES:
                self._add_variables(read, where)
            elif name not in self._values:
                self._values[name] = read
                self._origins[name] = origin
        for other in EXCLUDED:
            if "request" in said and other in said:
                both = UsageError(f"request and {other} exclude each other", hints=["write it into the request"])
                self.problems.append(_placed(both, where("request")))

    def _add_variables(self, read: Mapping[str, str], where: Callable[[str], Origin]) -> None:
        for name, value in read.items():
            if name not in self._variables:
                self._variables[name] = value
                self._origins[f"env.{name}"] = where(f"env.{name}")

    def settings(self) -> Settings:
        """The frozen result."""
        chosen, origins = dict(self._values), dict(self._origins)
        for other in EXCLUDED:
            if "request" in chosen and other in chosen:
                lower = max("request", other, key=lambda name: origins[name].rank)
                del chosen[lower], origins[lower]
        everything = {key.name: origins.get(key.name, DEFAULT) for key in KEYS if key.kind is not Kind.VARIABLES}
        found = Settings(**chosen, origins=MappingProxyType({**everything, **origins}))
        return replace(found, env=MappingProxyType(dict(self._variables)))


def _flag(name: str) -> Origin:
    return Origin(f"flag --{name.partition('.')[0]}", 0)


def _placed(error: UsageError, origin: Origin) -> UsageError:
    return UsageError(f"{origin}: {error.what}", why=error.why, hints=error.hints)


def _together(problems: Sequence[UsageError]) -> UsageError:
    if len(problems) == 1:
        return problems[0]
    lines = [f"{p.what} ({p.why})" if p.why else p.what for p in problems]
    hints = dict.fromkeys(hint for p in problems for hint in p.hints)
    return UsageError(f"{len(problems)} settings are wrong", why="\n".join(lines), hints=list(hints))
