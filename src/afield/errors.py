"""The error tree and the exit statuses: every failure says what, why and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    """What the process ends with when the program itself did not decide it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    NOTHING_FITS = 5
    UNREACHABLE = 6
    SETUP_FAILED = 7
    PREEMPTED = 75
    TIMED_OUT = 124
    STOPPED = 130


class AfieldError(Exception):
    """Something the user can act on: `what` in one sentence, `why`, and `hints` to try.

    `code` is a stable word, documented in docs/errors.md; `exit` is the process's exit status.
    """

    code = "failed"
    exit = Exit.FAILED

    def __init__(self, what: str, *, why: str = "", hints: Sequence[str] = (), code: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hints = tuple(hints)
        if code:
            self.code = code

    def as_dict(self) -> dict[str, object]:
        """The error as it travels over HTTP and in `--json`."""
        return {
            "code": self.code,
            "exit": int(self.exit),
            "what": self.what,
            "why": self.why,
            "hints": list(self.hints),
        }


class UsageError(AfieldError):
    """The request must change: a bad option, value, key or file."""

    code = "usage"
    exit = Exit.USAGE


class RequestSyntaxError(UsageError):
    """A resource request that cannot be read; `column` counts from 1."""

    code = "request-syntax"

    def __init__(self, what: str, *, column: int, why: str = "", hints: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, hints=hints)
        self.column = column


class NotFound(AfieldError):
    """A job, node or file that does not exist."""

    code = "not-found"
    exit = Exit.NOT_FOUND


class NotAllowed(AfieldError):
    """The caller may not do this."""

    code = "not-allowed"
    exit = Exit.NOT_ALLOWED


class NothingFits(AfieldError):
    """No node can ever meet the request."""

    code = "nothing-fits"
    exit = Exit.NOTHING_FITS


class Unreachable(AfieldError):
    """A node cannot be reached; says nothing about the jobs on it."""

    code = "unreachable"
    exit = Exit.UNREACHABLE


class SetupFailed(AfieldError):
    """Code, environment or preflight could not be made ready."""

    code = "setup-failed"
    exit = Exit.SETUP_FAILED


class Conflict(AfieldError):
    """The same key, name or machine is already taken by something else."""

    code = "conflict"
    exit = Exit.USAGE


class StoreRefused(AfieldError):
    """The store cannot be used: newer schema, network file system, full disk."""

    code = "store-refused"


class Fault(AfieldError):
    """A bug of ours."""

    code = "fault"


class IllegalMove(Fault):
    """An event that the transition table does not allow; carries the attempt's story."""

    code = "illegal-move"


def from_dict(data: dict[str, object]) -> AfieldError:
    """The error that `as_dict` described, as the closest class of the tree; its own exit where none is told."""
    code = str(data.get("code", ""))
    exit_status = data.get("exit")
    found: type[AfieldError] = AfieldError
    todo: list[type[AfieldError]] = [AfieldError]
    while todo:
        kind = todo.pop()
        if kind is RequestSyntaxError:
            continue
        if kind.code == code:
            found = kind
            break
        todo.extend(kind.__subclasses__())
    hints = data.get("hints")
    error = found(
        str(data.get("what", "")),
        why=str(data.get("why", "")),
        hints=[str(h) for h in hints] if isinstance(hints, list) else (),
        code=code,
    )
    if isinstance(exit_status, int) and exit_status in set(Exit):
        error.exit = Exit(exit_status)
    return error


def in_words(error: AfieldError | OSError) -> str:
    """An error as one line, for where it is the reason of something else."""
    if isinstance(error, AfieldError):
        return f"{error.what}: {error.why}" if error.why else error.what
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
