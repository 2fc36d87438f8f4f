"""Every command pays for what these modules load: the sets are pinned."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from afield.build import VERSION, release

HEAVY = {
    "asyncio", "click", "dataclasses", "fastapi", "httpx", "inspect", "logging", "platformdirs", "pydantic", "rich",
    "sqlalchemy", "starlette", "subprocess", "tomllib", "typing", "uvicorn",
}  # fmt: skip


def loaded(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_import_afield_loads_nothing_else() -> None:
    assert loaded("import afield") <= {"__future__", "afield"}


def test_what_a_job_may_use_loads_nothing_of_the_client() -> None:
    ours = {name for name in loaded("import afield; afield.current") if name.startswith("afield")}
    assert ours == {"afield", "afield.inside", "afield.inside.current"}


def test_decorating_a_function_loads_nothing_that_submits() -> None:
    found = loaded("import afield; afield.function(gpus=1)(len)")
    assert not found & {"asyncio", "cloudpickle", "concurrent.futures", "http.client", "pydantic", "subprocess"}
    assert not {name for name in found if name.startswith(("afield.snapshot", "afield.environment", "afield.sdk.c"))}


@pytest.mark.parametrize("module", ["afield.sdk.door", "afield.sdk.client"])
def test_talking_to_the_server_needs_no_heavy_module(module: str) -> None:
    assert not loaded(f"import {module}") & HEAVY


def test_the_version_is_the_packages() -> None:
    assert metadata.version("afield") == VERSION


def test_versions_compare_as_numbers() -> None:
    assert release("0.10.0+abc") > release("0.9.9+fff")
    assert release("0.1.0+abc") == release("0.1.0+def")
