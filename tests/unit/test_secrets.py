"""The file of the secrets: kept for one person, given by name, and never when others can read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from afield.config.secrets import MOST_BYTES, Secrets
from afield.errors import AfieldError, NotAllowed, NotFound, UsageError

VALUE = "hunter2"


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(str(tmp_path / "config" / "secrets.json"))


def test_what_is_set_is_given_until_it_is_removed(secrets: Secrets) -> None:
    assert secrets.listed() == []
    assert secrets.values([]) == {}
    secrets.set("KEY", "one")
    secrets.set("OTHER", "two\nlines é \udcff")
    secrets.set("KEY", "three")
    assert Secrets(secrets.path).values(["OTHER", "KEY", "KEY"]) == {"OTHER": "two\nlines é \udcff", "KEY": "three"}
    assert [name for name, _ in secrets.listed()] == ["KEY", "OTHER"]
    secrets.remove("KEY")
    with pytest.raises(NotFound):
        secrets.values(["OTHER", "KEY"])
    with pytest.raises(NotFound):
        secrets.remove("KEY")


def test_nobody_else_can_read_the_file(secrets: Secrets) -> None:
    before = os.umask(0)
    try:
        secrets.set("KEY", "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(secrets.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(secrets.path)).st_mode) == 0o700
    assert os.listdir(os.path.dirname(secrets.path)) == ["secrets.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_gives_nothing(secrets: Secrets, mode: int) -> None:
    secrets.set("KEY", VALUE)
    os.chmod(secrets.path, mode)
    with pytest.raises(NotAllowed) as caught:
        secrets.values(["KEY"])
    assert VALUE not in f"{caught.value.what} {caught.value.why} {caught.value.hints}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("9x", "v"),
        ("", "v"),
        ("a-b", "v"),
        ("A=b", "v"),
        ("AFIELD_MARK", "v"),
        ("K", ""),
        ("K", "a\0b"),
        ("K", "x" * (MOST_BYTES + 1)),
    ],
)
def test_what_cannot_be_a_variable_is_refused(secrets: Secrets, name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        secrets.set(name, value)
    assert not value or value not in f"{caught.value.what} {caught.value.why}".replace("variable", "").split()
    assert secrets.listed() == []


def test_a_name_that_is_not_there_gets_the_nearest(secrets: Secrets) -> None:
    secrets.set("API_KEY", "v")
    with pytest.raises(AfieldError, match="there is no secret APIKEY") as caught:
        secrets.check(["APIKEY"])
    assert caught.value.hints == ("did you mean API_KEY?", "afield secret set APIKEY")
