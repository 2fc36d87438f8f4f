"""What to run: command, code, environment, stages around it. No hardware in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from afield.model.ids import TreeHash


class End(StrEnum):
    """When a job of several processes is over: when all have ended, or when the first has."""

    ALL = "all"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Code:
    """The snapshot a job runs: a tree hash in the shadow repository of one workspace.

    `workspace` names the shadow repository (a hash of the root's path), `root` is the workspace's folder on the
    client (results come home to it), `folder` is where in the tree the command runs.
    """

    workspace: str
    tree: TreeHash
    root: str
    folder: str = ""
    base_commit: str = ""


class EnvironmentKind(StrEnum):
    """The rung of the ladder that an environment came from."""

    NONE = "none"
    PLAIN = "plain"
    UV_LOCK = "uv.lock"
    PYPROJECT = "pyproject.toml"
    SCRIPT = "script"
    REQUIREMENTS = "requirements.txt"
    IMPORTS = "imports"


@dataclass(frozen=True, slots=True)
class Environment:
    """Interpreter and packages, named by the hash of what defines them.

    `files` are paths in the snapshot that define it; `python` is a version request such as "3.12" or "". `packages`
    are the lines for the installer where the imports define it: nothing else remembers them. `hosts` ("name:port") are
    those that its definition names; a build through us may reach these and the indexes.
    NONE leaves the node as it is; PLAIN is the node's own Python with nothing installed.
    """

    kind: EnvironmentKind = EnvironmentKind.NONE
    key: str = ""
    python: str = ""
    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that comes with one job beside its code: a blob in the shadow repository of the code's workspace."""

    name: str
    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class Task:
    """What to run. `argv` keeps bytes that are not UTF-8 as surrogate escapes; `attached` lies in `JOB_DIR/call`.

    `setup_content` is the hash of the files that the setup's command names: a setup is done again when they change.
    """

    argv: tuple[str, ...]
    code: Code | None = None
    environment: Environment = field(default_factory=Environment)
    setup: tuple[str, ...] = ()
    setup_content: str = ""
    preflight: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    collects: tuple[str, ...] = ()
    """Patterns of files in the program's folder that come home, and so does then what is in OUTPUT_DIR, by itself."""
    continues: int = 0
    """The job whose keep folder the first attempt begins with; 0 for none."""
    merge: bool = False
    end: End = End.ALL
    grace_s: float = 10.0
    attached: tuple[Attached, ...] = ()
    secrets: tuple[str, ...] = ()
    """Names only: the values are looked up at each launch and stand in no record."""
