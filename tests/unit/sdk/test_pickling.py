"""What can be sent to a job, how, and what is said of the rest."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from afield.sdk import pickling
from afield.sdk.pickling import Unpicklable, pack_arguments, pack_function


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Makes a module in a folder that is on the path, and imports it."""
    made = []

    def make(name: str) -> Any:
        (tmp_path / f"{name}.py").write_text("def double(x):\n    return twice(x)\n\ndef twice(x):\n    return x * 2\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


def loaded_elsewhere(packed: bytes, call: str) -> subprocess.CompletedProcess[str]:
    """What another Python prints that has none of our modules."""
    statement = f"import sys, pickle; f = pickle.loads(sys.stdin.buffer.read()); print({call})"
    words = [sys.executable, "-c", statement]
    done = subprocess.run(words, input=packed.partition(b"\n")[2], capture_output=True, check=False)
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_module_outside_the_workspace_travels_whole(tmp_path: Path, module: Callable[[str], Any]) -> None:
    found = module("mine_outside")
    packed = pack_function(found.double, tmp_path / "workspace")
    assert loaded_elsewhere(packed, "f(4)").stdout == "8\n"
    assert "mine_outside" not in cloudpickle.list_registry_pickle_by_value()


def test_a_module_of_the_workspace_travels_by_its_name(tmp_path: Path, module: Callable[[str], Any]) -> None:
    found = module("mine_inside")
    packed = pack_function(found.double, tmp_path)
    assert "No module named 'mine_inside'" in loaded_elsewhere(packed, "f(4)").stderr
    head = json.loads(packed.partition(b"\n")[0])
    assert "." in head["path"]
    assert head["python"] == list(sys.version_info[:2])


def test_what_is_installed_travels_by_its_name(tmp_path: Path) -> None:
    packed = pack_function(json.dumps, tmp_path)
    assert len(packed) < 400
    assert loaded_elsewhere(packed, "f([1])").stdout == "[1]\n"


def test_the_argument_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(Unpicklable, match="argument number 2 cannot be sent") as caught:
        pack_arguments((1, threading.Lock()), {})
    assert "lock" in caught.value.why
    with pytest.raises(Unpicklable, match="argument key cannot be sent"):
        pack_arguments((), {"key": threading.Lock()})


def test_a_function_that_holds_what_cannot_be_sent_is_named(tmp_path: Path) -> None:
    lock = threading.Lock()
    with pytest.raises(Unpicklable, match=r"the function .*held cannot be sent"):
        pack_function(held(lock), tmp_path)


def held(lock: Any) -> Callable[[], Any]:
    def held() -> Any:
        return lock

    return held


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickling, "LIMIT", 1000)
    pack_arguments((b"x" * 900,), {})
    with pytest.raises(Unpicklable, match=r"the function .*, with what it holds, is too large"):
        pack_function(held(b"x" * 1001), tmp_path)
    with pytest.raises(Unpicklable, match="too large to be sent"):
        pack_arguments((b"x" * 1001,), {})
