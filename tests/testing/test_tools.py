"""The checks find what they are there to find."""

from __future__ import annotations

import pytest

from tools import links, py38, sizes


@pytest.fixture
def project(tmp_path):
    """A project with nothing to complain about."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "exemptions.txt").write_text("# nothing yet\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs").mkdir()
    return tmp_path


def lines(count: int) -> str:
    return "pass\n" * count


def function(count: int, name: str = "f") -> str:
    return f"@property\ndef {name}(self):\n" + "    pass\n" * (count - 2)


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("src/a.py", lines(400), ""),
        ("src/a.py", lines(401), "src/a.py: 401 lines, 400 allowed"),
        ("tests/a.py", lines(600), ""),
        ("tests/a.py", lines(601), "tests/a.py: 601 lines, 600 allowed"),
        ("src/a.py", function(40), ""),
        ("src/a.py", function(41), "src/a.py:f: 41 lines, 40 allowed"),
        (
            "src/a.py",
            "class C:\n    async def g(self):\n" + "        x = 1\n" * 40,
            "src/a.py:C.g: 41 lines, 40 allowed",
        ),
    ],
)
def test_sizes(project, file, text, complaint):
    (project / file).write_text(text)
    assert "\n".join(sizes.complaints(project)) == complaint


@pytest.mark.parametrize(
    ("exemption", "complaint"),
    [
        ("src/a.py:f 45", ""),
        ("src/a.py:f 44", "src/a.py:f: 45 lines, 44 allowed"),
        ("src/a.py:f 46", "src/a.py:f: its exemption says 46, it has 45: write 45 in exemptions.txt"),
        ("src/a.py:f 45\nsrc/a.py 450", "src/a.py: needs no exemption any more, remove it"),
    ],
)
def test_an_exemption_may_only_shrink(project, exemption, complaint):
    (project / "src" / "a.py").write_text(function(45))
    (project / "tools" / "exemptions.txt").write_text(f"{exemption}\n")
    assert "\n".join(sizes.complaints(project)) == complaint


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](docs/page.md)", ""),
        ("[a](docs/page.md#two-words-a-b)", ""),
        ("[a](docs/page.md#again-1)", ""),
        ("[a](#here)", ""),
        ("[a](https://example.org/x)", ""),
        ("`[a](missing.md)`", ""),
        ("```\n[a](missing.md)\n```", ""),
        ("[a](missing.md)", "missing.md: there is no such file"),
        ("![a](missing.png)", "missing.png: there is no such file"),
        ("[a]: missing.md", "missing.md: there is no such file"),
        ("[a](docs/page.md#three)", "docs/page.md#three: there is no such heading"),
        ("[a](docs/page.md#code)", "docs/page.md#code: there is no such heading"),
        ("[a](../elsewhere.md)", "../elsewhere.md: leads out of the project"),
    ],
)
def test_links(project, link, complaint):
    (project / "docs" / "page.md").write_text("# Two words: `a-b`\n## Again\n## Again\n```\n# Code\n```\n")
    (project / "README.md").write_text(f"# Here\n\n{link}\n")
    assert links.complaints(project) == ([f"README.md: {complaint}"] if complaint else [])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import os, json\nfrom . import other\nfrom .other import x\nif (n := 1): pass\n", ""),
        ("import tomllib", "m.py:1: imports tomllib"),
        ("import requests.adapters", "m.py:1: imports requests.adapters"),
        ("def f():\n    from afield import errors", "m.py:2: imports afield"),
        ("from .. import errors", "m.py:1: imports ..errors"),
        ("from . import missing", "m.py:1: imports .missing"),
        ("match 1:\n    case _: pass", "m.py:2: Pattern matching"),
        ("'a'.removeprefix('b')", "'str.removeprefix' member requires !2, 3.9"),
    ],
)
def test_python_38(tmp_path, text, complaint):
    (tmp_path / "m.py").write_text(text)
    (tmp_path / "other.py").write_text("x = 1\n")
    found = [line.strip() for line in py38.complaints(tmp_path)]
    assert any(complaint in line for line in found) if complaint else found == []
