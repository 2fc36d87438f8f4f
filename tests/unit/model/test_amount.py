"""Amounts are read as people write them, and written so that they are read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.errors import UsageError
from afield.model.amount import (
    about_bytes,
    format_bytes,
    format_cpu,
    format_time,
    parse_bytes,
    parse_cpu,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("40G", 40 << 30),
        ("1.5G", 3 << 29),
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("2GiB", 2 << 30),
        ("2gb", 2 << 30),
        ("1T", 1 << 40),
        ("10B", 10),
        (" 1K ", 1024),
        ("0.3B", 1),
    ],
)
def test_bytes(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "G", "40", "-1G", "1,5G", "1.G", "40X", "0G", "1e3G", "٤G", "1G1"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h", 7200), ("1d", 86400), ("45s", 45), ("1h30m", 5400), ("0.5h", 1800), ("01:30:00", 5400)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1:30", "01:60:00", "0s", "-1h", "1w", "h", "00:00:00"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1e2", "0.0001", "four"])
def test_no_cores(text: str) -> None:
    with pytest.raises(UsageError):
        parse_cpu(text)


def test_a_number_without_unit_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        parse_bytes("40")
    assert caught.value.why == "a number needs its unit"
    assert caught.value.hints


@given(st.integers(1, 1 << 60))
def test_bytes_come_back(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount


@given(st.integers(1, 99_999_999))
def test_times_come_back(thousandths: int) -> None:
    assert parse_time(format_time(thousandths / 1000)) == pytest.approx(thousandths / 1000)


@given(st.integers(1, 999_999_999))
def test_cores_come_back(thousandths: int) -> None:
    assert parse_cpu(format_cpu(thousandths / 1000)) == thousandths / 1000


@pytest.mark.parametrize(
    ("amount", "text"), [(3 << 29, "1.5G"), (40 << 30, "40G"), (1, "1B"), (1025, "1025B"), (1 << 20, "1M")]
)
def test_bytes_are_written_short(amount: int, text: str) -> None:
    assert format_bytes(amount) == text


def test_bytes_for_people_are_rounded() -> None:
    assert about_bytes((40 << 30) + 12345) == "40G"
    assert about_bytes(1000) == "1000B"
