"""Evidence survives a power cut: the calls that make it so, in the order in which the system sees them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afield.runner import effects, real_files


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The syncs and renames of this process, each with the file that it is about; they are done all the same."""
    told: list[str] = []

    def watched(name: str, about: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any) -> Any:
            told.append(f"{name} {about(*args)}")
            return real(*args)

        monkeypatch.setattr(os, name, call)

    watched("fsync", lambda descriptor: Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
    watched("rename", lambda old, new: f"{Path(old).name} {Path(new).name}")
    return told


def test_a_file_is_safe_before_it_has_its_name_and_its_name_before_anything_rests_on_it(
    tmp_path: Path, calls: list[str]
) -> None:
    real_files.write(None, effects.Write(f"{tmp_path}/exit.json", b"{}\n", "nonce"))
    temporary = f".tmp-exit.json.nonce.{os.getpid()}"
    assert calls == [f"fsync {temporary}", f"rename {temporary} exit.json", f"fsync {tmp_path.name}"]


def test_a_line_at_the_end_and_a_new_folder_are_safe(tmp_path: Path, calls: list[str]) -> None:
    real_files.append(None, effects.Append(f"{tmp_path}/attempts.hw", b"1 1\n"))
    real_files.mkdir(None, effects.Mkdir(f"{tmp_path}/runs/1.1"))
    assert calls == ["fsync attempts.hw", f"fsync {tmp_path.name}", f"fsync {tmp_path.name}", "fsync runs"]


def test_what_is_only_shown_costs_no_sync(tmp_path: Path, calls: list[str]) -> None:
    real_files.put(None, effects.Put(f"{tmp_path}/hb", b"1"))
    assert calls == []
