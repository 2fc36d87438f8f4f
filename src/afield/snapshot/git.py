"""Runs the user's git to list files, and git on the shadow repository; nothing here writes to the user's repository."""

from __future__ import annotations

import os
from _thread import get_ident
from collections.abc import Mapping, Sequence

from afield.errors import UsageError

_LOCAL = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)
"""A hook or an alias may have set these for another repository."""

NO_CONFIG = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
"""For git on the shadow repository: nothing that the user configured applies."""


class Git:
    """One git process; `posix_spawn`, because importing subprocess costs a third of a send of one changed file."""

    def __init__(
        self,
        arguments: Sequence[str | bytes],
        *,
        scratch: str,
        variables: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in _LOCAL}
        environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(variables or {})}
        self._errors = _unnamed(scratch)
        given = _unnamed(scratch, stdin)
        self._out, write_end = os.pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, given, 0),
            (os.POSIX_SPAWN_DUP2, write_end, 1),
            (os.POSIX_SPAWN_DUP2, self._errors, 2),
        ]
        try:
            self._pid = os.posix_spawnp("git", ["git", *arguments], environment, file_actions=actions)
        except OSError as error:
            os.close(self._out)
            os.close(self._errors)
            raise _missing(error) from error
        finally:
            os.close(write_end)
            os.close(given)

    def finish(self) -> tuple[int, bytes, bytes]:
        """(exit status, output, errors)."""
        parts = []
        while data := os.read(self._out, 1 << 20):
            parts.append(data)
        os.close(self._out)
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        errors = os.pread(self._errors, 1 << 20, 0)
        os.close(self._errors)
        return status, b"".join(parts), errors

    def output(self) -> tuple[bytes, bytes]:
        """(output, errors). Raises UsageError `git-failed` with git's own words."""
        status, out, errors = self.finish()
        if status != 0:
            raise UsageError(
                "git could not read the workspace",
                why=errors.decode("utf-8", "backslashreplace").strip() or f"exit status {status}",
                hints=["run `git status` there"],
                code="git-failed",
            )
        return out, errors


def _unnamed(folder: str, data: bytes = b"") -> int:
    path = os.path.join(folder, f"git.{os.getpid()}.{get_ident()}.part")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.unlink(path)
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _missing(error: OSError) -> UsageError:
    return UsageError(
        "git is needed to read the workspace, and was not found",
        why=str(error),
        hints=["install git, for example: apt install git, brew install git"],
        code="git-missing",
    )
