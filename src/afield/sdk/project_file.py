"""The text of a new `afield.toml`: every key optional, what was found as comments, what is set as values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afield.config import KEYS

_EXAMPLES = {
    "node": '"box1"',
    "request": '"2:[4:a100,mem=40G]"',
    "gpus": "1",
    "time": '"2h"',
    "policy": '"resume"',
    "priority": "1",
    "name": '"vit"',
    "environment": '"auto"',
    "python": '"3.12"',
    "dirs": '["../common"]',
    "setup": '"./prepare.sh"',
    "preflight": '"nvidia-smi"',
    "merge": "true",
    "end": '"first"',
    "grace": '"30s"',
}
_SHOWN = ("node", "gpus", "time", "environment", "python", "setup", "preflight")
_WIDTH = 30


def text(values: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """The file. `values` are settings by name, `notes` what is said behind a key that has no value."""
    import tomlkit  # noqa: PLC0415 only when a file is written

    helps = {key.name: key.help for key in KEYS}
    document = tomlkit.document()
    document.add(tomlkit.comment("How `afield run` runs what is in this folder. Every key may go; flags win over it."))
    document.add(tomlkit.comment("All keys, their values now and where these come from: afield config."))
    document.add(tomlkit.nl())
    for name in dict.fromkeys((*_SHOWN, *(key for key in values if key != "env"))):
        said = notes.get(name, helps[name])
        if name in values:
            document.add(name, tomlkit.item(values[name]).comment(said))
        else:
            document.add(tomlkit.comment(f"{name} = {_EXAMPLES[name]}".ljust(_WIDTH) + f"# {said}"))
    document.add(tomlkit.nl())
    variables = values.get("env")
    if variables:
        table = tomlkit.table()
        for name, value in variables.items():
            table.add(name, str(value))
        document.add("env", table)
    else:
        document.add(tomlkit.comment("[env]".ljust(_WIDTH) + f"# {helps['env']}"))
        document.add(tomlkit.comment('WANDB_MODE = "offline"'))
    return tomlkit.dumps(document)


def write(path: Path, content: str) -> None:
    """The file, whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(content, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
