"""Reads the files of older tools for `afield init --from`: each key becomes a setting, a command, or a word why not.

Two kinds: a YAML mapping such as `asic.yaml`, and an INI file such as `~/.recompute.conf`. Passwords are never copied.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afield.errors import UsageError

_NAME = re.compile(r"[\w.@:\[\]-]+")

_OF_MACHINES = "machines are made and removed outside afield; add yours with `afield node add`"
_YAML_WORDS = {
    "zone": _OF_MACHINES,
    "accelerator_type": _OF_MACHINES,
    "preemptible": _OF_MACHINES,
    "asic_preemptible": _OF_MACHINES,
    "version": _OF_MACHINES,
}


@dataclass(slots=True)
class Older:
    """What an older file says. `mapped` and `unmapped` are (key, in words) in its order; `commands` come after."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    mapped: list[tuple[str, str]] = field(default_factory=list)
    unmapped: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def set(self, key: str, name: str, value: Any) -> None:
        """A key that becomes a setting."""
        self.values[name] = value
        self.mapped.append(
            (key, f"{name} = {value!r}" if not isinstance(value, dict) else f"[{name}] {', '.join(value)}")
        )


def read(path: Path) -> Older:
    """The file as settings of ours. Raises UsageError when it cannot be read or is neither kind."""
    path = path.expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", why=str(error)) from error
    if path.suffix in (".yaml", ".yml"):
        return _yaml(str(path), text)
    return _ini(str(path), text)


def _yaml(file: str, text: str) -> Older:
    import yaml  # noqa: PLC0415 only for those who come from there

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not valid YAML", why=str(error)) from error
    if not isinstance(data, dict):
        raise UsageError(f"{file} is no table of keys", why="expected lines such as `name: my-node`")
    found = Older(file)
    for key, value in data.items():
        _yaml_key(found, str(key), value)
    return found


def _yaml_key(found: Older, key: str, value: Any) -> None:
    if value in (None, "", {}, []):
        found.unmapped.append((key, "says nothing"))
    elif key in ("name", "asic_name"):
        found.set(key, "node", str(value))
        found.commands.append(f"afield node add {shlex.quote(str(value))}")
    elif key in ("setup", "preflight"):
        found.set(key, key, f"sh {shlex.quote(_here(str(value)))}")
    elif key == "run_env":
        if isinstance(value, Mapping):
            found.set(key, "env", {str(name): _plain(content) for name, content in value.items()})
        else:
            found.unmapped.append((key, "is no table of variables"))
    elif key == "entry_point":
        found.mapped.append((key, "the command of a run"))
        found.commands.append(f"afield run {shlex.quote(_here(str(value)))}")
    elif key == "dist_dir":
        found.mapped.append((key, f"the folder of afield.toml is sent: to send {value} alone, do this there"))
    elif key == "rsync_ignore":
        found.mapped.append((key, "its patterns go into .afieldignore"))
        found.commands.append(f"cp {shlex.quote(str(value))} .afieldignore")
    else:
        found.unmapped.append((key, _YAML_WORDS.get(key, "afield has no such setting")))


def _here(name: str) -> str:
    return name.removeprefix("./")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ini(file: str, text: str) -> Older:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text, source=file)
    except configparser.Error as error:
        raise UsageError(f"{file} is neither YAML nor an INI file", why=str(error)) from error
    found = Older(file)
    general = dict(parser.items("general")) if parser.has_section("general") else dict(parser.defaults())
    default = general.get("instance", general.get("default", ""))
    if not parser.has_section("general") and "defaulthost" in general:
        _instance(found, "DEFAULT", {k.removeprefix("default"): v for k, v in general.items()}, chosen=True)
    for section in parser.sections():
        if section.startswith("instance"):
            chosen = section.removeprefix("instance").strip() == str(default).strip()
            _instance(found, section, dict(parser.items(section)), chosen=chosen)
    for key in general:
        _general(found, key)
    if not found.mapped:
        raise UsageError(f"{file} names no machine", why="expected [instance N] with username and host")
    return found


def _general(found: Older, key: str) -> None:
    if key in ("instance", "default"):
        found.mapped.append((key, "the node of this project"))
    elif key == "remote_home":
        found.unmapped.append((key, "afield keeps everything of its own under ~/.afield on a node"))
    elif key.endswith("pass"):
        found.unmapped.append((key, "passwords are not copied"))
    elif key not in ("defaultuser", "defaulthost"):
        found.unmapped.append((key, "afield has no such setting"))


def _instance(found: Older, section: str, items: dict[str, str], *, chosen: bool) -> None:
    user, host = items.get("username", items.get("user", "")), items.get("host", "")
    target = f"{user}@{host}" if user else host
    if not host or not _NAME.fullmatch(target) or target.startswith("-"):
        found.unmapped.append((section, f"{target!r} is no host"))
        return
    found.mapped.append((section, f"afield node add {target}"))
    found.commands.append(f"afield node add {target}")
    if items.get("password"):
        found.unmapped.append((f"{section} password", f"passwords are not copied; a key works: ssh-copy-id {target}"))
    if chosen:
        found.values["node"] = host
