"""Measuring: things in turn, medians, and a figure as one row of the table."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: `value` over `base` against a goal; `better` says which side of the goal is good."""

    name: str
    value: float
    goal: float
    unit: str = "ratio"
    better: str = "less"
    notes: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.goal if self.better == "less" else self.value >= self.goal


def seconds(work: Callable[[], Any]) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turn(
    works: Mapping[str, Callable[[], Any]], rounds: int, before: Callable[[], Any] | None = None
) -> dict[str, float]:
    """Medians in seconds of several works, measured A B C A B C …; `before` runs untimed ahead of each."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            if before is not None:
                before()
            times[name].append(seconds(work))
    return {name: median(found) for name, found in times.items()}


def quiet(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a command to its end, output thrown away. Raises CalledProcessError."""
    subprocess.run(
        argv, env=env, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def first_line(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> float:
    """Seconds from the start of a command to its first line of output; it then runs to its end."""
    begin = time.perf_counter()
    with subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        assert command.stdout is not None
        line = command.stdout.readline()
        took = time.perf_counter() - begin
        command.stdout.read()
    assert line, f"{argv[0]} wrote nothing"
    return took


def pss_kb(pid: int) -> int:
    """Proportional memory of a process in kB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(f"no memory figures of {pid}")


def make_project(folder: Path, files: int = 5000) -> None:
    """A project of 5,000 files and about 77 MB; 300 of the files are incompressible."""
    text = ("the quick brown fox jumps over the lazy dog " * 170).encode()[:7400]
    noise = Path("/dev/urandom").open("rb")  # noqa: SIM115 closed below
    for i in range(files):
        place = folder / f"d{i % 50:02}" / f"s{i % 7}"
        place.mkdir(parents=True, exist_ok=True)
        data = noise.read(140_000) if i % 17 == 0 and i < 5100 else f"{i}\n".encode() + text
        (place / f"f{i}.txt").write_bytes(data)
    noise.close()
