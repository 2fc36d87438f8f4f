"""The ladder: which file defines the environment of a command, what names it, and what bad files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from afield.environment.detect import detect
from afield.errors import UsageError
from afield.model.task import EnvironmentKind as Kind

PROJECT = '[project]\nname = "own"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["six"]\n'
LOCK = """version = 1
requires-python = ">=3.10"

[[package]]
name = "own"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "six" },
]

[package.metadata]
requires-dist = [{ name = "six" }]

[[package]]
name = "six"
version = "1.17.0"
source = { registry = "index" }
"""
HEADER = '# /// script\n# requires-python = ">=3.11"\n# dependencies = ["six"]\n# ///\nimport six\n'


def put(root: Path, **texts: str) -> None:
    """Files with these contents; `__` stands for a folder, `_` for a dot."""
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def key(root: Path, folder: str = "", *argv: str, **options: str) -> str:
    return detect(root, folder, argv or ("train.py",), **options).environment.key


def test_ladder_goes_from_lock_to_nothing(tmp_path: Path) -> None:
    put(tmp_path, uv_lock=LOCK, pyproject_toml=PROJECT, train_py=HEADER, requirements_txt="six\n")
    seen = []
    for name in ("uv.lock", "pyproject.toml", "train.py", "requirements.txt", ""):
        found = detect(tmp_path, "", ("train.py",))
        seen.append((found.environment.kind, found.environment.files, found.line))
        if name == "train.py":
            put(tmp_path, train_py="import six\n")
        elif name:
            (tmp_path / name).unlink()
    assert seen == [
        (Kind.UV_LOCK, ("uv.lock", "pyproject.toml"), "uv.lock, python >=3.10"),
        (Kind.PYPROJECT, ("pyproject.toml",), "pyproject.toml, python >=3.10"),
        (Kind.SCRIPT, ("train.py",), "train.py header, python >=3.11"),
        (Kind.REQUIREMENTS, ("requirements.txt",), "requirements.txt"),
        (Kind.PLAIN, (), "the node's python3"),
    ]


def test_folder_of_the_command_comes_before_the_root(tmp_path: Path) -> None:
    put(tmp_path, requirements_txt="six\n", a__b__requirements_txt="idna\n", a__pyproject_toml=PROJECT)
    assert detect(tmp_path, "a/b", ("x.py",)).environment.files == ("a/b/requirements.txt",)
    (tmp_path / "a/b/requirements.txt").unlink()
    assert detect(tmp_path, "a/b", ("x.py",)).environment.files == ("a/pyproject.toml",)
    assert detect(tmp_path, "c", ("x.py",)).environment.files == ("requirements.txt",)


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (("train.py",), Kind.PLAIN),
        (("python3", "-m", "x"), Kind.PLAIN),
        (("/usr/bin/python3.11", "x"), Kind.PLAIN),
        (("nvidia-smi",), Kind.NONE),
        (("./python-like",), Kind.NONE),
        ((), Kind.NONE),
    ],
)
def test_without_any_file_the_command_decides(tmp_path: Path, argv: tuple[str, ...], kind: Kind) -> None:
    assert detect(tmp_path, "", argv).environment.kind is kind
    assert key(tmp_path, "", *argv) == ""


def test_python_alone_is_an_environment(tmp_path: Path) -> None:
    found = detect(tmp_path, "", ("nvidia-smi",), python="3.12")
    assert (found.environment.kind, found.line, found.environment.python) == (Kind.PLAIN, "python 3.12", "3.12")
    assert found.environment.key


def test_choice_none_leaves_the_node_alone(tmp_path: Path) -> None:
    put(tmp_path, requirements_txt="six\n")
    assert detect(tmp_path, "", ("train.py",), choice="none").environment.kind is Kind.NONE
    assert detect(tmp_path, "", ("train.py",), choice="plain").environment.kind is Kind.PLAIN
    with pytest.raises(UsageError):
        detect(tmp_path, "", ("train.py",), choice="none", python="3.12")


def test_chosen_file_wins_over_the_ladder(tmp_path: Path) -> None:
    put(tmp_path, pyproject_toml=PROJECT, gpu_txt="six\n", sub__run_py=HEADER, notes_md="x")
    assert detect(tmp_path, "sub", ("run.py",), choice="gpu.txt").environment.files == ("gpu.txt",)
    assert detect(tmp_path, "", ("x",), choice="sub/run.py").environment.kind is Kind.SCRIPT
    for bad in ("nowhere.txt", "../up.txt", "notes.md"):
        with pytest.raises(UsageError, match=bad):
            detect(tmp_path, "sub", ("run.py",), choice=bad)


def test_pinned_python_is_taken_unless_one_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, requirements_txt="six\n")
    (tmp_path / ".python-version").write_text("# pinned\n3.12.1\n")
    plain = detect(tmp_path, "", ("train.py",))
    assert (plain.environment.python, plain.line) == ("3.12.1", "requirements.txt, python 3.12.1")
    assert detect(tmp_path, "", ("train.py",), python="3.11").environment.python == "3.11"
    (tmp_path / ".python-version").write_text("my-virtualenv\n")
    assert detect(tmp_path, "", ("train.py",)).environment.python == ""


@pytest.mark.parametrize("python", ["--system", "3.12; rm", "a\nb"])
def test_python_that_is_none_is_refused(tmp_path: Path, python: str) -> None:
    with pytest.raises(UsageError):
        detect(tmp_path, "", ("train.py",), python=python)


def test_key_follows_what_defines_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, pyproject_toml=PROJECT, train_py="a\n")
    first = key(tmp_path)
    put(tmp_path, train_py="b\n", pyproject_toml=PROJECT.replace('"1"', '"2"') + "[tool.ruff]\nline-length = 88\n")
    assert key(tmp_path) == first
    assert key(tmp_path, python="3.12") != first
    put(tmp_path, pyproject_toml=PROJECT.replace("six", "idna"))
    assert key(tmp_path) != first


def test_linter_settings_alone_define_nothing(tmp_path: Path) -> None:
    put(tmp_path, pyproject_toml="[tool.ruff]\nline-length = 88\n")
    assert detect(tmp_path, "", ("train.py",)).environment.kind is Kind.PLAIN
    put(tmp_path, pyproject_toml='[project]\nname = "own"\nversion = "1"\n', requirements_txt="six\n")
    assert detect(tmp_path, "", ("train.py",)).environment.kind is Kind.REQUIREMENTS


def test_dynamic_dependencies_are_part_of_the_key(tmp_path: Path) -> None:
    put(
        tmp_path,
        pyproject_toml='[build-system]\nrequires = ["setuptools"]\n',
        setup_py="setup(install_requires=['six'])\n",
    )
    first = detect(tmp_path, "", ("train.py",)).environment
    assert (first.kind, first.files) == (Kind.PYPROJECT, ("pyproject.toml", "setup.py"))
    put(tmp_path, setup_py="setup(install_requires=['idna'])\n")
    assert key(tmp_path) != first.key
    dynamic = '[project]\nname = "o"\ndynamic = ["dependencies"]\n'
    dynamic += '[tool.setuptools.dynamic]\ndependencies = { file = ["deps.in"] }\n'
    put(tmp_path, pyproject_toml=dynamic, deps_in="six\n")
    assert "deps.in" in detect(tmp_path, "", ("train.py",)).environment.files


def test_member_of_a_workspace_uses_the_lock_above(tmp_path: Path) -> None:
    member = LOCK + '\n[[package]]\nname = "m"\nversion = "1"\nsource = { editable = "packages/m" }\n'
    put(tmp_path, uv_lock=member, pyproject_toml=PROJECT)
    put(
        tmp_path,
        packages__m__pyproject_toml='[project]\nname = "m"\nversion = "1"\n',
        packages__n__pyproject_toml=PROJECT,
    )
    found = detect(tmp_path, "packages/m", ("x.py",)).environment
    assert found.files == ("uv.lock", "packages/m/pyproject.toml", "pyproject.toml")
    assert detect(tmp_path, "packages/n", ("x.py",)).environment.kind is Kind.PYPROJECT


def test_old_lock_is_refused(tmp_path: Path) -> None:
    put(tmp_path, uv_lock=LOCK, pyproject_toml=PROJECT.replace('"six"', '"six", "Some_Thing[x]>=1"'))
    with pytest.raises(UsageError, match=r"uv\.lock is older") as caught:
        detect(tmp_path, "", ("train.py",))
    assert "Some_Thing" in caught.value.why
    assert caught.value.hints == ("uv lock",)


def test_lock_in_the_middle_of_a_merge_is_refused(tmp_path: Path) -> None:
    put(
        tmp_path,
        uv_lock=LOCK.replace('name = "six"\nversion', '<<<<<<< HEAD\nname = "six"\nversion'),
        pyproject_toml=PROJECT,
    )
    with pytest.raises(UsageError, match=r"^uv\.lock:16: "):
        detect(tmp_path, "", ("train.py",))


def test_lock_that_reaches_out_is_refused(tmp_path: Path) -> None:
    out = LOCK + '\n[[package]]\nname = "sister"\nversion = "1"\nsource = { editable = "../sister" }\n'
    put(tmp_path, uv_lock=out, pyproject_toml=PROJECT)
    with pytest.raises(UsageError, match=r"\.\./sister"):
        detect(tmp_path, "", ("train.py",))


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("pyproject.toml", "[project]\nname = \n", 2),
        ("train.py", "x = 1\n# /// script\n# dependencies = [\nimport six\n", 2),
        ("train.py", '\n# /// script\n# requires-python = ">=3"\n# dependencies = oops\n# ///\n', 4),
        ("train.py", HEADER + HEADER, 6),
        ("requirements.txt", "six\n\n-r missing.txt\n", 3),
        ("requirements.txt", "six \\\n  >=1\n-r ../out.txt\n", 3),
        ("requirements.txt", "-e ../sister\n", 1),
        ("requirements.txt", "./empty\n", 1),
        ("requirements.txt", "-c https://example.org/constraints.txt\n", 1),
    ],
)
def test_bad_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        detect(tmp_path, "", ("train.py",))
    assert caught.value.what.startswith(f"{name}:{line}: ")


def test_script_lock_counts(tmp_path: Path) -> None:
    put(tmp_path, train_py=HEADER)
    first = key(tmp_path)
    put(tmp_path, train_py=HEADER + "print()\n")
    assert key(tmp_path) == first
    (tmp_path / "train.py.lock").write_text("version = 1\n")
    found = detect(tmp_path, "", ("train.py",))
    assert (found.environment.files, found.line) == (
        ("train.py", "train.py.lock"),
        "train.py header, locked, python >=3.11",
    )


def test_requirements_with_all_they_name(tmp_path: Path) -> None:
    put(tmp_path, more__base_txt="-c ../cons.txt\nsix\n", cons_txt="six<2\n", lib__setup_py="setup()\n")
    (tmp_path / "w.whl").write_bytes(b"1")
    text = (
        "# comment\n-r more/base.txt  # why\n--requirement=cons.txt\n-e ./lib[extra] ; python_version > '3'\n./w.whl\n"
    )
    put(tmp_path, requirements_txt=text + "git+https://example.org/x\n-e git+https://example.org/y\nidna @ file:///z\n")
    found = detect(tmp_path, "", ("train.py",)).environment
    assert found.files == ("requirements.txt", "more/base.txt", "cons.txt", "lib/setup.py")
    (tmp_path / "w.whl").write_bytes(b"2")
    assert key(tmp_path) != found.key


def test_names_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"# caf\xe9\nsix\n")
    assert key(tmp_path)
