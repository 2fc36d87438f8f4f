"""What is looked at when something may be wrong: this machine and the project here; nodes are in `doctor_nodes`.

A check says how it is, what was found, and what mends it; a harmless mend that we can do ourselves has a name.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afield.build import build
from afield.config import folders, load
from afield.config.files import config_folder
from afield.config.secrets import Secrets
from afield.environment.uv import binary
from afield.errors import AfieldError, in_words
from afield.model.amount import about_bytes
from afield.runner.mounts import network_filesystem
from afield.sdk.door import Door
from afield.sdk.submit import describe
from afield.snapshot.take import find_root
from afield.transport.reap import abandoned

OK, WARN, BAD = "ok", "warn", "bad"
LEAST_DISK = 2_000_000_000
VERSION_S = 5.0
LOCAL = f"/var/tmp/afield-{os.getuid()}"  # noqa: S108 only named here


class Check(NamedTuple):
    """One finding: where, how it is, what was found, what fixes it, and the repair that does, if we can."""

    where: str
    state: str
    text: str
    fix: str = ""
    repair: str = ""


PROGRAMS = (
    ("git", ["git", "--version"], BAD, "snapshots of your code"),
    ("ssh", ["ssh", "-V"], BAD, "nodes that ssh reaches"),
    ("rsync", ["rsync", "--version"], WARN, "large push and pull: without it they are slower"),
)


def machine() -> Iterator[Check]:
    """This machine: programs, the store, the controller, what was left over, secrets."""
    yield Check("machine", OK, f"Python {platform.python_version()}")
    for name, argv, state, use in PROGRAMS:
        found = version(argv)
        fix = "" if found else f"install {name}: needed for {use}"
        yield Check("machine", OK if found else state, found or f"{name}: missing", fix)
    yield _uv()
    yield store(folders().state)
    yield from _kept()
    yield _controller()
    yield from _left_over()
    yield from _secrets()


def version(argv: list[str]) -> str:
    """The first line of what a program says of its version, with its path; "" when there is none."""
    path = shutil.which(argv[0])
    if path is None:
        return ""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, timeout=VERSION_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return f"{argv[0]}: {path}, and it does not answer"
    line = (done.stdout + done.stderr).decode("utf-8", "replace").partition("\n")[0]
    words = " ".join(line.partition(",")[0].split()[:3])
    return f"{words}: {path}"


def _uv() -> Check:
    try:
        found, path = binary()
    except AfieldError as error:
        return Check("machine", BAD, f"uv: {error.what}", error.hints[0] if error.hints else error.why)
    return Check("machine", OK, f"uv {found}: {path}")


def store(state: str, mounts: str | None = None) -> Check:
    """Where the store is, and how much room it has; `mounts` as in `network_filesystem`."""
    kind = network_filesystem(state, mounts)
    if kind is not None:
        text = f"{state} is on {kind}, where locks do not hold: the store is below {LOCAL} instead"
        return Check("machine", WARN, text, "set AFIELD_STATE_DIR to a folder on a disk of this machine")
    above = next(str(p) for p in (Path(state), *Path(state).parents) if p.exists())
    free = shutil.disk_usage(above).free
    low = free < LEAST_DISK
    return Check(
        "machine", WARN if low else OK, f"{about_bytes(free)} free for the store: {state}", "free some space" * low
    )


def _kept() -> Iterator[Check]:
    """What grows on this machine."""
    told = folders()
    for name, folder in (
        ("output of jobs, kept with them", os.path.join(told.state, "output")),
        ("snapshots of your code", os.path.join(told.cache, "shadow")),
    ):
        if os.path.isdir(folder):
            yield Check("machine", OK, f"{about_bytes(size(folder))} {name}: {folder}")


def size(folder: str) -> int:
    """Bytes on the disk below a folder."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(above, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _controller() -> Check:
    try:
        connection = Door().knock()
    except AfieldError as error:
        return Check("machine", BAD, in_words(error), error.hints[0] if error.hints else "")
    if connection is None:
        return Check("machine", OK, "no controller runs; the next command starts one")
    told = connection.told
    connection.close()
    if told["build"] != build():
        text = f"the controller (process {told['pid']}) is of another build"
        return Check("machine", WARN, text, "any command replaces it; no job is touched")
    return Check("machine", OK, f"the controller answers: process {told['pid']}")


def _left_over() -> Iterator[Check]:
    """Connections of controllers that were killed."""
    lost = abandoned(Path(folders().runtime))
    if lost:
        text = f"{len(lost)} connections of a killed controller are left: processes {', '.join(map(str, lost))}"
        yield Check("machine", WARN, text, "afield doctor --fix", "connections")


def _secrets() -> Iterator[Check]:
    path = Secrets().path
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield Check(
            "machine", BAD, f"{path} can be read by others", "afield doctor --fix, and set them anew", "secrets"
        )
    else:
        yield Check("machine", OK, f"secrets: {len(Secrets().listed())}, readable by you alone, in {config_folder()}")


# ---- the project -----------------------------------------------------------------------------------------------------


def project() -> Iterator[Check]:
    """The folder one is in: its settings, what would be sent, what its packages come from."""
    try:
        root, _ = find_root(Path.cwd())
        lines = describe()
    except AfieldError as error:
        several = error.why.splitlines() if error.what.endswith("settings are wrong") else [error.what]
        for text in several:
            yield Check("project", BAD, text, error.hints[0] if error.hints and text is several[0] else "")
        return
    for text in lines:
        yield Check("project", OK, text)
    yield from _results(root)
    yield from _wanted_secrets(root)


def _results(root: Path) -> Iterator[Check]:
    """Whether git leaves results alone."""
    if not (root / ".git").exists():
        return
    argv = ["git", "-C", str(root), "check-ignore", "-q", "outputs/1/result"]
    try:
        ignored = subprocess.run(argv, check=False, capture_output=True, timeout=VERSION_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return
    if not ignored:
        yield Check(
            "project", WARN, "git does not ignore outputs/, where results come", "outputs/ in .gitignore", "ignore"
        )


def _wanted_secrets(root: Path) -> Iterator[Check]:
    try:
        Secrets().check(load(root).secrets)
    except AfieldError as error:
        yield Check("project", BAD, error.what, error.hints[-1] if error.hints else "")
