"""One archive with the code, what defines its environment, and a `run.sh` that runs it where there is no afield."""

from __future__ import annotations

import io
import os
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afield.errors import UsageError
from afield.folders import Folders
from afield.model.task import EnvironmentKind
from afield.sdk.programs import NOTEBOOK
from afield.sdk.submit import Built, build
from afield.snapshot.contents import contents

CODE = "code"

_HEAD = """\
#!/bin/sh
# Runs what was bundled, as afield would: in its folder, in its environment, with its variables. Made by afield bundle.
# More words are added to the command. OUTPUT_DIR and KEEP_DIR may be set to other folders before.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
need() { command -v "$1" >/dev/null || { echo "run.sh: $1 is needed: $2" >&2; exit 127; }; }
"""
_UV = 'need uv "https://docs.astral.sh/uv"\n'
_VENV = 'test -x "$here/.venv/bin/python" || '


@dataclass(frozen=True, slots=True)
class Bundled:
    """The archive that was made."""

    path: Path
    files: int
    bytes: int


def bundle(argv: Sequence[str], options: Mapping[str, Any], path: Path, keep: Path | None = None) -> Bundled:
    """Write the archive of one command, from the folder one is in. Raises UsageError as a submission does.

    `keep` holds what the job kept that the options continue.
    """
    if argv and argv[0].endswith(NOTEBOOK):
        raise UsageError(
            "a notebook alone cannot be bundled",
            why="what runs it here comes with afield",
            hints=["afield bundle -- jupyter nbconvert --to notebook --execute " + argv[0]],
        )
    if not path.name or not path.parent.is_dir():
        raise UsageError(
            f"no file {str(path)!r} can be made", why=f"there is no folder {path.parent}", hints=["-o FILE"]
        )
    built = build(argv, {**options, "big": True})
    code = built.body["task"]["code"]
    top = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz") or "bundle"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with tarfile.open(part, "w:gz", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, f"{top}/run.sh", script(built).encode("utf-8", "surrogateescape"), program=True)
            for member in contents(Path(Folders().cache), code["workspace"], code["tree"]):
                name = f"{top}/{CODE}/{os.fsdecode(member.path)}"
                _add(archive, name, member.data, program=member.program, link=member.link)
                count += 1
            if keep is not None:
                archive.add(keep, f"{top}/keep")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Bundled(path, count, path.stat().st_size)


def script(built: Built) -> str:
    """The text of `run.sh`."""
    task = built.body["task"]
    environment, folder = task["environment"], task["code"]["folder"]
    place = f"{CODE}/{folder}".rstrip("/")
    lines = [_HEAD + _recipe(environment)]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in task["variables"]]
    if task["continues"]:
        lines.append(f"export CONTINUE_JOB_NUMBER={task['continues']}")
    lines += [f': "${{{name}:?is a secret, which a bundle does not have: set it}}"' for name in task["secrets"]]
    lines += [
        'export OUTPUT_DIR="${OUTPUT_DIR:-$here/outputs}" KEEP_DIR="${KEEP_DIR:-$here/keep}" PYTHONUNBUFFERED=1',
        f'export PYTHONPATH="$here/{CODE}/src:$here/{CODE}${{PYTHONPATH:+:$PYTHONPATH}}"',
        # A folder without a file is in no archive.
        f'mkdir -p "$OUTPUT_DIR" "$KEEP_DIR" "$here"/{shlex.quote(place)}',
        f'cd "$here"/{shlex.quote(place)}',
        *(shlex.join(words) for words in (task["setup"], task["preflight"]) if words),
        f'exec {_command(task["argv"], environment["kind"])} "$@"',
    ]
    return "\n".join(lines) + "\n"


def _recipe(environment: Mapping[str, Any]) -> str:
    """How the environment is made in `.venv` beside the code; "" where none of its own is needed."""
    kind, files = EnvironmentKind(environment["kind"]), environment["files"]
    if kind in (EnvironmentKind.NONE, EnvironmentKind.PLAIN):
        return ""
    pick = f" --python {shlex.quote(environment['python'])}" if environment["python"] else ""
    file = f'"$here"/{shlex.quote(f"{CODE}/{files[0]}")}'
    use = 'export VIRTUAL_ENV="$here/.venv" PATH="$here/.venv/bin:$PATH"\n'
    make = f'uv venv --quiet{pick} "$here/.venv"'
    if kind is EnvironmentKind.UV_LOCK:
        sync = "uv sync --quiet --frozen --no-install-project"
        return f'{_UV}(cd "$(dirname {file})" && UV_PROJECT_ENVIRONMENT="$here/.venv" {sync}{pick})\n{use}'
    if kind is EnvironmentKind.SCRIPT:
        return f"{_UV}{_VENV}{make}\n{use}uv sync --quiet --active --script {file}{pick}\n"
    install = f'uv pip install --quiet --python "$here/.venv/bin/python" -r {file}'
    if kind is EnvironmentKind.REQUIREMENTS and not pick:
        plain = f'python3 -m venv "$here/.venv" && "$here/.venv/bin/pip" install --quiet -r {file}'
        return f"if command -v uv >/dev/null; then {_VENV}{make}; {install}\nelse {_VENV}{{ {plain}; }}; fi\n{use}"
    return f"{_UV}{_VENV}{make}\n{install}\n{use}"


def _command(argv: Sequence[str], kind: str) -> str:
    """The words of the command; a script runs under the environment's Python."""
    python = argv[0].endswith(".py") and kind != EnvironmentKind.NONE
    first = "python" if kind != EnvironmentKind.PLAIN else "python3"
    return shlex.join([first, *argv] if python else argv)


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, program: bool = False, link: bool = False) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if program else 0o644
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(data)
        archive.addfile(info)
        return
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
