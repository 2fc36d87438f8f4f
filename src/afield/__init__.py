"""afield runs your code on machines you do not sit at, and never loses a job."""

from __future__ import annotations

TYPE_CHECKING = False  # read by type checkers as true; loading typing would cost as much as Python's own start
if TYPE_CHECKING:
    from afield.errors import AfieldError as AfieldError
    from afield.sdk.client import Client as Client
    from afield.sdk.job import Job as Job
    from afield.sdk.job import JobFailed as JobFailed
    from afield.sdk.run import run as run
    from afield.sdk.run import run_all as run_all

_HOMES = {
    "AfieldError": "afield.errors",
    "Client": "afield.sdk.client",
    "Job": "afield.sdk.job",
    "JobFailed": "afield.sdk.job",
    "run": "afield.sdk.run",
    "run_all": "afield.sdk.run",
}

__all__ = ["AfieldError", "Client", "Job", "JobFailed", "run", "run_all"]


def __getattr__(name: str) -> object:
    """A public name, loaded when it is first used: `import afield` alone costs nothing."""
    if name == "__version__":
        from afield.build import VERSION  # noqa: PLC0415 start-up

        return VERSION
    if name not in _HOMES:
        raise AttributeError(f"module 'afield' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 start-up

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
