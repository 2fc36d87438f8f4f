"""The commands of `docs/start.md`, run one after the other as they stand there: what they print is what the page says.

Numbers, sizes, times and the node that was chosen differ from machine to machine and are not compared.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from afield.testing.hosts import Hosts
from afield.testing.sandbox import Sandbox

PAGE = Path(__file__).parents[2] / "docs/start.md"
PROGRAM = """\
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--steps", type=int, default=5)
wanted = parser.parse_args()
for step in range(1, wanted.steps + 1):
    print(f"step {step}  loss {wanted.lr / step:.4f}")
pathlib.Path(os.environ["OUTPUT_DIR"], "result.txt").write_text("done")
"""
ELSEWHERE = frozenset({"why"})
"""The page asks why a job waits for a device that another one holds: no such job is made here."""


def shown() -> list[tuple[list[str], str]]:
    """Each command of the page with the lines under it; a command may stand alone."""
    blocks = re.findall(r"^```\n\$ afield (.+?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    parts = [block.partition("\n") for block in blocks]
    return [(command.split(), said) for command, _, said in parts if command.split()[0] not in ELSEWHERE]


def shape(text: str) -> list[str]:
    """The lines without what differs from machine to machine."""
    lines = []
    for line in text.strip().splitlines():
        line = re.sub(r"\d+(?:\.\d+)?", "#", line)
        line = re.sub(r"# (?:ms|s|m|h)\b(?: # s)?", "TIME", re.sub(r"#[BKMG]\b", "SIZE", line))
        line = re.sub(r"sent whole|nothing to send|sent what differs: SIZE", "SENT", line)
        line = re.sub(r"^(. machine +)\w+#?(?:; [a-z ]+ of # that fit)?", r"\1NODE", line)
        lines.append(re.sub(r" +", " ", re.sub(r"^(. env .*?) +TIME$", r"\1", line)).strip())
    return lines


def test_shapes_tell_lines_apart() -> None:
    assert shape("✓ env       requirements.txt     2.7 s") == shape("✓ env       requirements.txt") != shape("✓ env  x")
    assert shape("✓ job 1 succeeded after 1.1 s") != shape("✗ job 1 failed after 1.1 s")


def test_the_page_says_what_the_commands_print(hosts: Hosts, sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(PROGRAM)
    (sandbox.project / "requirements.txt").write_text("# nothing but Python\n")
    commands = shown()
    assert [words[0] for words, _ in commands] == ["run", "node", "run", "run", "run"], commands
    program = Path(sys.executable).parent / "afield"
    for words, said in commands:
        done = subprocess.run(
            [program, *words],
            cwd=sandbox.project,
            env=sandbox.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        printed = done.stdout.decode()
        assert done.returncode == (2 if "oops" in words else 0), printed
        assert not said or shape(printed) == shape(said), printed
