"""Docs that can be compared with the code are: error codes, exit codes, named tests, commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from afield.cli.table import COMMANDS, NODE
from afield.cli.topics import EXIT_CODES
from afield.errors import Exit

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"""(?:code ?= ?|Refusal\()"([a-z]+(?:-[a-z]+)*)\"""")


def test_every_error_code_is_documented() -> None:
    used = {c for p in (ROOT / "src").rglob("*.py") for c in CODE.findall(p.read_text())}
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert used <= documented, used - documented


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs/exit-codes.md").read_text()
    for status in Exit:
        assert re.search(rf"^\| {status.value} \|", text, re.MULTILINE), status
        assert re.search(rf"^  {status.value} ", EXIT_CODES, re.MULTILINE), status


def test_commands_in_the_how_to_exist() -> None:
    for page in ("docs/how-to.md", "README.md"):
        for verb, second in re.findall(r"^ {4}afield ([a-z]+)(?: ([a-z-]+))?", (ROOT / page).read_text(), re.MULTILINE):
            assert verb in COMMANDS, (page, verb)
            assert verb != "node" or second in NODE, (page, second)


def test_the_reference_is_as_the_code_is() -> None:
    done = subprocess.run([sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, f"{done.stdout.decode()}{done.stderr.decode()}; run `make reference`"
