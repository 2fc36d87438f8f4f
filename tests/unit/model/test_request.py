"""The grammar of requests: what is read, what is refused and where, and that text and value say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afield.errors import RequestSyntaxError, UsageError
from afield.model.request import (
    MAX_PROCESSES,
    DeviceAsk,
    ProcessGroup,
    Request,
    format,
    parse,
    parse_devices,
    parse_gpus,
    parse_need,
)

G = 1 << 30


def group(*asks: tuple[str, int], count: int = 1, **more: float) -> ProcessGroup:
    return ProcessGroup(count, tuple(DeviceAsk(m, n) for m, n in asks), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("[]", [group()]),
        ("2:[]", [group(count=2)]),
        ("2:[8:gtx1070]", [group(("gtx1070", 8), count=2)]),
        ("[2:g]", [group(("g", 2))]),
        ("2:[],4:[gtx1070,2:gtx1060]", [group(count=2), group(("gtx1070", 1), ("gtx1060", 2), count=4)]),
        (" 2 : [ 8 : a100 , mem = 40G ] ", [group(("a100", 8), count=2, memory_bytes=40 * G)]),
        ("[cpu=0.5,mem=1.5G,disk=10G]", [group(cpu=0.5, memory_bytes=3 * G // 2, disk_bytes=10 * G)]),
        ("[CPU=2,A100]", [group(("a100", 1), cpu=2.0)]),
        ("[a,a,2:a]", [group(("a", 4))]),
        ("[a100-1g.10gb]", [group(("a100-1g.10gb", 1))]),
        ("[\n4:gpu\t]", [group(("gpu", 4))]),
    ],
)
def test_read(text: str, groups: list[ProcessGroup]) -> None:
    assert parse(text) == Request(tuple(groups))


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("", 1, "empty"),
        ("   ", 4, "empty"),
        ("a100", 1, 'expected "["'),
        ("[", 2, "expected a device"),
        ("[a", 3, 'expected "," or "]"'),
        ("[a100]]", 7, "the end"),
        ("[a,,b]", 4, "expected a device"),
        ("[],", 4, 'expected "["'),
        ("0:[]", 1, "at least 1"),
        ("[00:a]", 2, "at least 1"),
        ("[],  2:[ 0:a ]", 10, "at least 1"),
        ("2:[8:gtx 1070]", 10, 'expected "," or "]"'),
        ("[4]", 3, 'expected ":"'),
        ("[cpu]", 5, "needs an amount"),
        ("[4:cpu]", 4, "no device"),
        ("[memory=4G]", 2, "no resource"),
        ("[mem=4]", 6, "needs its unit"),
        ("[a, mem=4X]", 9, "4X"),
        ("[mem=]", 6, "no amount"),
        ("[cpu=0]", 6, "nothing"),
        ("[cpu=1,cpu=2]", 8, "twice"),
        (f"{MAX_PROCESSES + 1}:[]", 1, "at most"),
        ("99999999999999999999999999:[]", 1, "at most"),
        (f"{MAX_PROCESSES}:[],[]", 1, "more than"),
        (f"[{MAX_PROCESSES}:a,a]", 10, "more than"),
        ("[ä]", 2, "expected a device"),
    ],
)
def test_refused_with_its_column(text: str, column: int, part: str) -> None:
    with pytest.raises(RequestSyntaxError) as caught:
        parse(text)
    error = caught.value
    assert (error.column, part in error.what) == (column, True), error.what
    shown, caret = error.why.split("\n")
    assert len(shown) == len(text)
    assert caret == " " * (column - 1) + "^"
    assert f"column {column}" in error.what


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[memory=4G]", "mem="),
        ("[ram=4G]", "mem="),
        ("[cpus=4]", "cpu="),
        ("[cores=4]", "cpu="),
        ("[storage=4G]", "disk="),
        ("[gpu=2]", "2:gpu"),
        ("[2:cpu]", "cpu=2"),
        ("[mem]", "mem=16G"),
        ("[4]", "4:gpu"),
        ("4", "4:gpu"),
        ("gpu", "[gpu]"),
        ("[x=1]", "cpu=, mem=, disk= and gpu_mem="),
    ],
)
def test_says_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(RequestSyntaxError) as caught:
        parse(text)
    assert any(hint in h for h in caught.value.hints), caught.value.hints


@pytest.mark.parametrize(
    ("text", "same"), [("4", "[4:gpu]"), (" 4 ", "[4:gpu]"), ("a100", "[a100]"), ("2:a100", "[2:a100]")]
)
def test_short_form(text: str, same: str) -> None:
    assert parse_gpus(text) == parse(same)


@pytest.mark.parametrize("text", ["0", "", "-1", "4:", "four gpus", "[4]"])
def test_no_short_form(text: str) -> None:
    with pytest.raises(RequestSyntaxError):
        parse_gpus(text)


def test_declared_devices() -> None:
    assert parse_devices("2:GTX1070, gtx1060,gtx1070") == (("gtx1070", 3), ("gtx1060", 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DeviceAsk("a", 0),
        lambda: ProcessGroup(count=0),
        lambda: ProcessGroup(cpu=0.0),
        lambda: ProcessGroup(memory_bytes=-1),
        lambda: Request(()),
        lambda: Request(time_limit_s=0.0),
        lambda: Request((ProcessGroup(MAX_PROCESSES), ProcessGroup())),
    ],
)
def test_values_that_no_text_gives_are_refused(make) -> None:
    with pytest.raises(UsageError):
        make()


names = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True).filter(lambda n: n not in ("cpu", "mem", "disk"))
asks = st.dictionaries(names, st.integers(1, 64), max_size=3).map(
    lambda d: tuple(DeviceAsk(m, n) for m, n in d.items())
)
groups = st.builds(
    ProcessGroup,
    count=st.integers(1, 1000),
    devices=asks,
    cpu=st.none() | st.integers(1, 10**8).map(lambda n: n / 1000),
    memory_bytes=st.integers(0, 1 << 45),
    disk_bytes=st.integers(0, 1 << 45),
)
requests = st.lists(groups, min_size=1, max_size=4).map(lambda g: Request(tuple(g)))


@given(requests)
def test_text_and_value_say_the_same(request_: Request) -> None:
    text = format(request_)
    assert parse(text) == request_
    assert format(parse(text)) == text


@given(requests, st.data())
def test_blanks_change_nothing(request_: Request, data: st.DataObject) -> None:
    words = [c for c in format(request_).replace(",", " , ").replace("[", " [ ").replace("]", " ] ").split(" ") if c]
    text = "".join(w + data.draw(st.sampled_from(["", " ", "\t", "  "])) for w in words)
    assert parse(text) == request_


def read(reader: Callable[[str], Any], text: str) -> Any:
    """What a reader makes of a text: a value, or the error that says where."""
    try:
        return reader(text)
    except RequestSyntaxError as error:
        return error


ANY = st.text(alphabet="[]:,=019.ag cpumediskG", max_size=20) | st.text(max_size=12)


@settings(max_examples=400)
@given(ANY)
@example("[" + "9" * 5000 + ":a]")
@example("[mem=" + "9" * 5000 + "G]")
def test_any_text_is_read_and_written_back_or_refused_with_a_column(text: str) -> None:
    found = read(parse, text)
    if isinstance(found, RequestSyntaxError):
        assert 1 <= found.column <= len(text) + 1
        shown, caret = found.why.split("\n")
        assert (len(shown), len(caret)) == (len(text), found.column)
    else:
        assert parse(format(found)) == found


@settings(max_examples=200)
@given(ANY)
@example("9" * 5000)
@example("0" * 5000 + "4")
def test_any_short_form_is_read_or_refused_with_a_column(text: str) -> None:
    for reader in (parse_gpus, parse_devices):
        found = read(reader, text)
        # The short form of a number is read as the request that it is short for.
        assert not isinstance(found, RequestSyntaxError) or 1 <= found.column <= len(text) + len("[:gpu]") + 1


@pytest.mark.parametrize("text", ["007", "[0002:a]", "000000003:[]"])
def test_zeros_before_a_count_change_nothing(text: str) -> None:
    reader = parse if "[" in text else parse_gpus
    assert reader(text) == reader(text.replace("0", ""))


def test_memory_of_devices_is_read_and_written() -> None:
    asked = parse("[2:a100,gpu_mem=40G,disk=3G]")
    assert asked.groups[0].device_bytes == 40 << 30
    assert format(asked) == "[2:a100,gpu_mem=40G,disk=3G]"
    assert format(parse("[gpu_mem=1.5G]")) == "[gpu,gpu_mem=1.5G]"
    assert format(parse_need("gpu_mem=1.5G,disk=3G")) == "[gpu,gpu_mem=1.5G,disk=3G]"
    assert format(parse_need("gpu_mem=1.5G", parse_gpus("2:a100"))) == "[2:a100,gpu_mem=1.5G]"
    assert format(parse_need("disk=1G", parse_gpus("4"))) == "[4:gpu,disk=1G]"


@pytest.mark.parametrize("text", ["gpu_mem", "gpu_mem=", "gpu_mem=5", "disk=1G],[", "2:[", "gpu_mem=1G,gpu_mem=2G"])
def test_what_is_no_need_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_need(text)


def test_devices_are_named_once() -> None:
    with pytest.raises(UsageError, match="both name devices"):
        parse_need("2:a100,disk=1G", parse_gpus("2"))
