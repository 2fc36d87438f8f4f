"""Imports found in code: what is read in one file, how it is followed, whose package it is; nothing is guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from afield.environment import installed, names
from afield.environment.code import imports
from afield.environment.detect import Found, detect
from afield.environment.memory import Memory
from afield.environment.tree import Weight
from afield.environment.walk import Entry, entry, walk
from afield.errors import UsageError
from afield.model.task import EnvironmentKind as Kind
from tests.unit.environment.conftest import Python

NEEDED, MAIN, PERHAPS = Weight.NEEDED, Weight.MAIN, Weight.PERHAPS
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def put(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def run(root: Path, *argv: str, folder: str = "", **options: str) -> Found:
    return detect(root, folder, argv or ("train.py",), **options)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import a", [("a", NEEDED)]),
        ("import a.b as c, d", [("a.b", NEEDED), ("d", NEEDED)]),
        ("from a.b import c", [("a.b", NEEDED)]),
        ("from . import a", [(".", NEEDED)]),
        ("from ..a import *", [("..a", NEEDED)]),
        ("def f():\n  import a", [("a", PERHAPS)]),
        ("async def f():\n  import a", [("a", PERHAPS)]),
        ("class A:\n  import a", [("a", NEEDED)]),
        ("try:\n  import a\nexcept ImportError:\n  import b", [("a", PERHAPS), ("b", PERHAPS)]),
        ("try:\n  import a\nexcept (KeyError, ModuleNotFoundError):\n  a = None", [("a", PERHAPS)]),
        ("try:\n  import a\nexcept:\n  pass", [("a", PERHAPS)]),
        ("try:\n  import a\nexcept KeyError:\n  pass", [("a", NEEDED)]),
        ("try:\n  import a\nfinally:\n  import b", [("a", NEEDED), ("b", NEEDED)]),
        ("with contextlib.suppress(ImportError):\n  import a", [("a", PERHAPS)]),
        ("with open('x'):\n  import a", [("a", NEEDED)]),
        ("if TYPE_CHECKING:\n  import a\nelse:\n  import b", [("b", NEEDED)]),
        ("if typing.TYPE_CHECKING:\n  import a", []),
        ("if sys.version_info < (3, 11):\n  import a\nelse:\n  import b", [("a", PERHAPS), ("b", PERHAPS)]),
        ("if __name__ == '__main__':\n  import a", [("a", MAIN)]),
        ("if '__main__' == __name__:\n  import a", [("a", MAIN)]),
        ("for x in y:\n  import a", [("a", NEEDED)]),
        ("match x:\n  case 1:\n    import a", [("a", PERHAPS)]),
        ("importlib.import_module('a.b')", [("a.b", PERHAPS)]),
        ("import_module('a'); __import__('b')", [("a", PERHAPS), ("b", PERHAPS)]),
        ("import_module(name); import_module('.a', 'b'); import_module('no name')", []),
        ("x = '\\d'  # a doubtful escape says nothing\nimport a", [("a", NEEDED)]),
        ("# import a\n'import b'", []),
    ],
)
def test_one_file(text: str, found: list[tuple[str, Weight]]) -> None:
    assert [(one.module, one.weight) for one in imports(text.encode())] == found


@pytest.mark.parametrize(
    ("argv", "folder", "found"),
    [
        (("train.py", "--data", "x.py"), "", Entry("train.py")),
        (("torchrun", "--nproc", "2", "sub/train.py"), "a", Entry("a/sub/train.py")),
        (("python3", "-m", "pkg.main", "x.py"), "", Entry(module="pkg.main")),
        (("/usr/bin/python3.12", "-u", "-c", "import a"), "", Entry(text="import a")),
        (("bash", "-c", "make"), "", None),
        (("../up.py",), "", None),
        ((), "", None),
    ],
)
def test_where_the_code_of_a_command_begins(argv: tuple[str, ...], folder: str, found: Entry | None) -> None:
    assert entry(argv, folder) == found


TREE = {
    "train.py": "import helper, lib.deep.leaf, numpy\nfrom lib import names, LATE\nfrom own import thing\n",
    "helper.py": "from cellar import wine\n",
    "cellar/wine.py": "import grape\n",
    "lib/__init__.py": "LATE = 1\n",
    "lib/names.py": "from . import near\nfrom .deep import leaf\nfrom .. import outside\n",
    "lib/near.py": "import pandas\n",
    "lib/deep/__init__.py": "",
    "lib/deep/leaf.py": "from ..near import x\nfrom ...train import y\n",
    "src/own/__init__.py": "from own.thing import x\n",
    "src/own/thing.py": "import json, scipy.stats\n",
    "other.py": "import never_reached\n",
    "tools/odd/mod.py": "import strange\n",
}


def reached(root: Path, begin: Entry, folder: str = "", outside: tuple[str, ...] = ()) -> tuple[set[str], set[str]]:
    found = walk(str(root), folder, begin, Memory(str(root)), lambda module, _: module.partition(".")[0] in outside)
    return set(found.files), {use.module for use in found.uses}


def test_imports_are_followed_through_the_workspace_and_not_beyond(tmp_path: Path) -> None:
    put(tmp_path / "w", TREE)
    put(tmp_path, {"outside.py": "import foreign\n"})
    files, uses = reached(tmp_path / "w", Entry("train.py"))
    assert files == {name for name in TREE if name not in ("other.py", "tools/odd/mod.py")}
    assert uses == {"numpy", "grape", "pandas", "json", "scipy.stats"}


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, {"w/train.py": "import helper, more.x\n", "helper.py": "import foreign\n", "more/x.py": "import y\n"})
    (tmp_path / "w/helper.py").symlink_to("../helper.py")
    (tmp_path / "w/more").symlink_to("../more")
    files, uses = reached(tmp_path / "w", Entry("train.py"))
    assert (files - {"w/helper.py", "helper.py"}, uses) == ({"train.py"}, {"more.x"})


def test_a_module_in_another_folder_is_no_package(tmp_path: Path) -> None:
    put(tmp_path, {**TREE, "train.py": "import sys; sys.path.append('tools')\nimport odd.mod\n"})
    files, uses = reached(tmp_path, Entry("train.py"), outside=("sys",))
    assert (files, uses) == ({"train.py", "tools/odd/mod.py"}, {"sys", "strange"})


def test_a_folder_of_scripts_gives_way_to_a_package_and_a_real_module_does_not(tmp_path: Path) -> None:
    put(tmp_path, {"train.py": "import datasets, yaml\n", "datasets/prepare.py": "import a\n", "yaml.py": "import b\n"})
    assert reached(tmp_path, Entry("train.py"), outside=("datasets", "yaml")) == (
        {"train.py", "yaml.py"},
        {"datasets", "b"},
    )
    assert reached(tmp_path, Entry("train.py"))[1] == {"b"}


def test_module_and_text_as_entries(tmp_path: Path) -> None:
    guard = "if __name__ == '__main__':\n    import {}\n"
    put(
        tmp_path,
        {"pkg/__init__.py": "import a\n", "pkg/__main__.py": guard.format("b"), "pkg/go.py": guard.format("c")},
    )
    for begin, wanted in ((Entry(module="pkg"), ["a", "b"]), (Entry(module="pkg.go"), ["a", "c"])):
        found = walk(str(tmp_path), "", begin, Memory(str(tmp_path)), lambda *_: False)
        assert sorted(use.module for use in found.uses if use.needed) == wanted
    assert reached(tmp_path, Entry(text="import pkg, d"))[1] == {"a", "d"}
    assert reached(tmp_path, Entry(module="pytest"))[1] == {"pytest"}


def test_what_is_reached_by_a_doubtful_import_only_is_doubtful(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"a.py": "import torch\n", "train.py": "def f():\n  import a\n", "eval.py": "import train\nimport a\n"},
    )
    for name, needed in (("train.py", False), ("eval.py", True)):
        found = walk(str(tmp_path), "", Entry(name), Memory(str(tmp_path)), lambda *_: False)
        assert [use.needed for use in found.uses if use.module == "torch"][-1] is needed, name


def test_versions_are_those_installed_here(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    python.add("PyYAML", "6.0.2", "yaml/__init__.py", "_yaml/__init__.py")
    python.add("torch", "2.4.1+cu121", "torch/__init__.py", "../../../bin/torchrun", programs="torchrun")
    python.add("unused", "1")
    put(tmp_path, {"train.py": "import numpy, os, yaml\ndef f():\n  import torch.nn\n"})
    found = run(tmp_path)
    assert found.environment.packages == ("numpy==2.1.0", "pyyaml==6.0.2", "torch==2.4.1")
    assert found.environment.kind is Kind.IMPORTS
    assert (found.environment.python, found.notes) == (VERSION, ())
    assert found.line == f"imports (numpy 2.1.0, pyyaml 6.0.2, torch 2.4.1), python {VERSION}"
    assert run(tmp_path, "torchrun", "train.py").environment.key == found.environment.key
    assert run(tmp_path, python="3.13").environment.python == "3.13"


def test_the_program_that_starts_the_code_is_a_package_too(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    python.add("accelerate", "1.0", programs="accelerate")
    put(tmp_path, {"train.py": "import numpy\n"})
    assert run(tmp_path, "accelerate", "launch", "train.py").environment.packages == ("numpy==2.1.0", "accelerate==1.0")


def test_key_follows_the_versions_and_not_the_code(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    put(tmp_path, {"train.py": "import numpy\n"})
    first = run(tmp_path).environment.key
    put(tmp_path, {"train.py": "import numpy\nprint(1)\n"})
    assert run(tmp_path).environment.key == first
    (python.site / "numpy-2.1.0.dist-info").rename(python.site / "old")
    python.add("numpy", "2.2.0")
    assert run(tmp_path).environment.packages == ("numpy==2.2.0",)
    assert run(tmp_path).environment.key != first


def test_a_first_package_in_the_users_own_folder_is_seen(
    tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may not be there when the Python is asked for the first time."""
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "own"))
    config = python.folder / "pyvenv.cfg"
    config.write_text(config.read_text().replace("false", "true"))
    put(tmp_path, {"train.py": "import pear\n"})
    assert run(tmp_path).environment.kind is Kind.PLAIN
    site = tmp_path / f"own/lib/python{VERSION}/site-packages"
    site.mkdir(parents=True)
    python.add("pear", "1.0")
    (python.site / "pear-1.0.dist-info").rename(site / "pear-1.0.dist-info")
    assert run(tmp_path).environment.packages == ("pear==1.0",)


def test_packages_that_share_a_name_are_told_apart(tmp_path: Path, python: Python) -> None:
    python.add("google-cloud-storage", "2.18", "google/cloud/storage/__init__.py", "google/cloud/storage/blob.py")
    python.add("protobuf", "5.28", "google/protobuf/__init__.py", "google/_upb/_message.abi3.so")
    for text, wanted in (
        ("from google.cloud import storage", ("google-cloud-storage==2.18",)),
        ("import google.cloud.storage.blob", ("google-cloud-storage==2.18",)),
        ("from google.protobuf import message", ("protobuf==5.28",)),
        ("from google.protobuf.message import Message", ("protobuf==5.28",)),
    ):
        put(tmp_path, {"train.py": text})
        assert run(tmp_path).environment.packages == wanted, text
    put(tmp_path, {"train.py": "import google.nothing"})
    assert run(tmp_path).notes[0] == "google.nothing (imported at train.py:1) is not installed here"


def test_nothing_is_guessed(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    put(tmp_path, {"train.py": "import numpy\nimport helper\n", "helper.py": "import os\nimport cv2\n"})
    found = run(tmp_path)
    assert (found.environment.kind, found.line) == (Kind.PLAIN, "the node's python3")
    assert found.notes == (
        "cv2 (imported at helper.py:2) is not installed here",
        "so nothing is installed for the imports: install what is missing here, or name all packages in"
        " requirements.txt: opencv-python-headless numpy==2.1.0",
    )
    with pytest.raises(UsageError, match="not all of them") as caught:
        run(tmp_path, choice="imports")
    assert "helper.py:2" in caught.value.why


def test_what_every_job_is_given_is_no_package(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    python.add("afield", "0.1.0")
    put(tmp_path, {"train.py": "import numpy\nimport afield as af\nfrom afield import current\n"})
    assert run(tmp_path).environment.packages == ("numpy==2.1.0",)
    put(tmp_path, {"train.py": "import afield\n"})
    assert (run(tmp_path).line, run(tmp_path).notes) == ("the node's python3", ())


def test_a_missing_package_is_named_once_whatever_is_taken_out_of_it(tmp_path: Path, python: Python) -> None:
    put(tmp_path, {"train.py": "import cv2\nimport cv2.aruco\nfrom cv2.ml import KNearest\n"})
    assert run(tmp_path).notes == (
        "cv2 (imported at train.py:1) is not installed here",
        "so nothing is installed for the imports: install what is missing here, or name all packages in"
        " requirements.txt: opencv-python-headless",
    )


def test_what_may_fail_keeps_nothing_from_being_installed(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0")
    put(tmp_path, {"train.py": "import numpy\ntry:\n  import wandb\nexcept ImportError:\n  wandb = None\n"})
    found = run(tmp_path)
    assert found.environment.packages == ("numpy==2.1.0",)
    assert found.notes == ("not installed here, and perhaps not needed: wandb",)


def test_without_imports_from_outside_nothing_is_needed(tmp_path: Path) -> None:
    put(tmp_path, {"train.py": "import os, json, tomllib, distutils\n"})
    assert (run(tmp_path).line, run(tmp_path).notes) == ("the node's python3", ())
    assert run(tmp_path, choice="imports").environment.kind is Kind.PLAIN


def test_a_line_for_a_shell_is_no_file(tmp_path: Path) -> None:
    assert run(tmp_path, "bash", "-c", "python train.py").notes == ()


def test_code_that_is_not_python_is_said(tmp_path: Path) -> None:
    put(tmp_path, {"train.py": "def f(:\n"})
    assert run(tmp_path).notes == ("train.py cannot be read as Python: its imports are not known",)


GIT = {"url": "https://host.test/pear.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}}


def test_origins_that_a_node_can_reach_and_those_that_it_cannot(tmp_path: Path, python: Python) -> None:
    root = tmp_path / "w"
    put(root, {"train.py": "import pear\n", "libs/fig/pyproject.toml": "[project]\nname='fig'\n"})
    put(root, {"libs/fig/src/fig/__init__.py": "", "both.py": "import pear, fig\n", "out.py": "import plum\n"})
    python.add("pear", "1.0", direct=GIT)
    python.add("fig", "1.0", "__editable__.fig-1.0.pth", direct=_folder(root / "libs/fig"))
    (python.site / "__editable__.fig-1.0.pth").write_text(f"{root}/libs/fig/src\n")
    python.add("plum", "1.0", "plum.py", direct=_folder(tmp_path / "plum"))
    pear = f"pear @ git+https://host.test/pear.git@{'a' * 40}"
    assert run(root).environment.packages == (pear,)
    assert run(root).line.startswith("imports (pear aaaaaaa)")
    both = run(root, "both.py").environment
    assert (both.packages, both.files) == ((pear, "./libs/fig"), ("libs/fig/pyproject.toml",))
    assert run(root, "out.py").environment.kind is Kind.PLAIN
    assert "file://" in run(root, "out.py").notes[0]


def _folder(path: Path) -> dict[str, object]:
    path.mkdir(parents=True, exist_ok=True)
    return {"url": path.as_uri(), "dir_info": {"editable": True}}


def test_conda_builds_are_packages_of_the_index(tmp_path: Path, python: Python) -> None:
    python.add("numpy", "2.1.0", direct={"url": "file:///home/conda/feedstock_root/build/numpy"})
    put(tmp_path, {"train.py": "import numpy\n"})
    assert run(tmp_path).environment.packages == ("numpy==2.1.0",)


@pytest.mark.parametrize(("name", "tool"), [("environment.yml", "conda"), ("pixi.toml", "pixi")])
def test_files_of_other_tools_are_named_and_respected(tmp_path: Path, python: Python, name: str, tool: str) -> None:
    python.add("numpy", "2.1.0")
    put(tmp_path, {"train.py": "import numpy\n", name: "name = 'x'\n"})
    found = run(tmp_path)
    assert found.environment.kind is Kind.PLAIN
    assert found.notes[0] == f"{name} is for {tool}, which afield does not run: nothing is installed"
    assert run(tmp_path, choice="imports").environment.packages == ("numpy==2.1.0",)
    assert run(tmp_path, choice="none").notes == ()


@pytest.mark.parametrize(
    ("module", "python", "standard"),
    [
        ("os.path", "3.12", True),
        ("tomllib", "3.10", False),
        ("tomllib", ">=3.11", True),
        ("distutils", "3.11", True),
        ("distutils", "3.12", False),
        ("distutils", "", True),
        ("numpy", "", False),
        ("cgi", "3.13.1", False),
    ],
)
def test_standard_modules_by_version(module: str, python: str, standard: bool) -> None:
    assert names.is_standard(module, python) is standard


def test_memory_keeps_what_did_not_change_and_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"

    def read() -> object:
        memory = Memory(str(tmp_path), str(cache))
        found = memory.of_file("a.py")
        memory.save()
        return found

    put(tmp_path, {"a.py": "import one\n"})
    monkeypatch.setattr("afield.environment.memory._FRESH_NS", 10**18)
    assert read() == [("one", (), 1, 0)]
    assert not cache.exists(), "what changed just now may change again"
    monkeypatch.setattr("afield.environment.memory._FRESH_NS", 0)
    read()
    (kept,) = cache.iterdir()
    kept.write_text(kept.read_text().replace("one", "kept"))
    assert read() == [("kept", (), 1, 0)]
    put(tmp_path, {"a.py": "import two \n"})
    assert read() == [("two", (), 1, 0)]
    for damaged in ("", "[]", "{", '{"form": 1, "kept": 3}'):
        kept.write_text(damaged)
        assert read() == [("two", (), 1, 0)]


def test_the_project_cannot_answer_for_the_python(
    tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its json.py is read, never run."""
    python.add("numpy", "2.1.0")
    put(tmp_path, {"train.py": "import numpy, json\n", "json.py": "open('run', 'w')\n", "re.py": "open('run', 'w')\n"})
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path).environment.packages == ("numpy==2.1.0",)
    assert not (tmp_path / "run").exists()


def test_the_environment_of_afield_itself_comes_after_the_projects_own(
    tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(python.folder))
    assert installed.active(str(tmp_path), "") == str(python.folder / "bin/python")
    own = tmp_path / ".venv/bin/python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert installed.active(str(tmp_path), "") == str(own)
    monkeypatch.setattr("sys.prefix", "/elsewhere")
    assert installed.active(str(tmp_path), "") == str(python.folder / "bin/python")


def test_active_python(tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.active(str(tmp_path), "") == str(python.folder / "bin/python")
    monkeypatch.delenv("VIRTUAL_ENV")
    (tmp_path / "a").mkdir()
    (tmp_path / ".venv").symlink_to(python.folder)
    assert installed.active(str(tmp_path), "a/b") == str(tmp_path / ".venv/bin/python")
    (tmp_path / ".venv").unlink()
    monkeypatch.setenv("PATH", str(python.folder / "bin"))
    assert installed.active(str(tmp_path), "") == str(python.folder / "bin/python3")
    monkeypatch.setenv("PATH", "")
    assert installed.active(str(tmp_path), "") == ""
