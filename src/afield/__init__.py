"""afield runs your code on machines you do not sit at, and never loses a job."""

from __future__ import annotations

_HOMES = {
    "AfieldError": "afield.errors",
    "Call": "afield.sdk.call",
    "Client": "afield.sdk.client",
    "Executor": "afield.sdk.executor",
    "Function": "afield.sdk.function",
    "Job": "afield.sdk.job",
    "JobFailed": "afield.sdk.job",
    "RemoteError": "afield.sdk.outcome",
    "Unpicklable": "afield.sdk.pickling",
    "current": "afield.inside.current",
    "function": "afield.sdk.function",
    "job": "afield.sdk.run",
    "jobs": "afield.sdk.run",
    "run": "afield.sdk.run",
    "run_all": "afield.sdk.run",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """A public name, loaded when it is first used; `import afield` alone costs nothing. The types: __init__.pyi."""
    from importlib import import_module  # noqa: PLC0415 start-up

    if name == "__version__":
        return import_module("afield.build").VERSION
    if name not in _HOMES:
        raise AttributeError(f"module 'afield' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
