"""Records the fields of all stored types as the form that store/upgrade.py names. A recorded form never changes.

`python tools/forms.py` after FORM was raised; without an argument that is all.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from pathlib import Path
from typing import Any

from afield.model import event as ev
from afield.model.job import Job
from afield.model.node import Node
from afield.store.upgrade import FORM

FOLDER = Path(__file__).parent.parent / "tests" / "facts" / "store"


def recorded(form: int) -> Path:
    """Where the fields of a form are kept."""
    return FOLDER / f"fields-form-{form}.json"


def fields() -> dict[str, list[str]]:
    """The fields of every type that is part of a row, each with its type."""
    found: dict[str, list[str]] = {}
    for hint in (*typing.get_args(ev.Event), Job, Node):
        _collect(hint, found)
    return dict(sorted(found.items()))


def _collect(hint: Any, found: dict[str, list[str]]) -> None:
    for inner in typing.get_args(hint):
        _collect(inner, found)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint.__name__ not in found:
        found[hint.__name__] = [f"{field.name}: {field.type}" for field in dataclasses.fields(hint)]
        for inner in typing.get_type_hints(hint).values():
            _collect(inner, found)


def main() -> int:
    path = recorded(FORM)
    if path.exists():
        print(f"{path} exists: raise FORM in src/afield/store/upgrade.py first", file=sys.stderr)
        return 1
    path.write_text(json.dumps(fields(), indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
