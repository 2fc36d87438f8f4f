"""Folders of killed makers are found, those of living ones never."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from afield.testing.leftovers import abandoned, make_folder


def test_the_folder_of_a_maker_that_is_gone_is_abandoned() -> None:
    prefix = f"aft-{secrets.token_hex(4)}-"
    code = "import sys; from afield.testing.leftovers import make_folder; print(make_folder(sys.argv[1]))"
    made = subprocess.run([sys.executable, "-c", code, prefix], check=True, capture_output=True, text=True).stdout
    folder = Path(made.strip())
    assert abandoned(prefix) == [folder]
    shutil.rmtree(folder)


def test_a_folder_in_the_making_is_not_abandoned() -> None:
    """Looked at before every line that its making runs through."""
    prefix, looks = f"aft-{secrets.token_hex(4)}-", []

    def look(_frame: FrameType, _event: str, _argument: Any) -> Any:
        looks.append(abandoned(prefix))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        folder = make_folder(prefix)
    finally:
        sys.settrace(before)
    looks.append(abandoned(prefix))
    shutil.rmtree(folder)
    assert len(looks) > 20, "the making was not looked at"
    assert not any(looks)
