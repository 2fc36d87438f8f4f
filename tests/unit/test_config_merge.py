"""Any settings in any layers: the highest that says a thing wins, its place is told, and layers may be joined first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from afield import config
from afield.config import KEYS, Kind
from afield.config.files import names
from afield.errors import UsageError

Said = dict[str, Any]

WORD = st.sampled_from(["a", "b c", "\u00e9"])
VALUES = {
    Kind.TEXT: WORD,
    Kind.NUMBER: st.integers(0, 9),
    Kind.SWITCH: st.booleans(),
    Kind.TIME: st.sampled_from(["90m", "2h", "1d"]),
    Kind.NAMES: WORD | st.lists(WORD, max_size=2),
    Kind.WORDS: WORD | st.lists(WORD, max_size=2),
    Kind.PATTERNS: WORD | st.lists(WORD, max_size=2),
    Kind.COMMAND: WORD | st.lists(WORD, min_size=1, max_size=2),
    Kind.VARIABLES: st.dictionaries(st.sampled_from(["A", "B", "C"]), WORD, max_size=3),
}
LAYERS = st.fixed_dictionaries(
    {},
    optional={k.name: st.sampled_from(k.choices) if k.choices else VALUES[k.kind] for k in KEYS if k.name != "need"},
).filter(lambda said: not {"request", "gpus"} <= said.keys())


"""Without `need`, which goes with gpus and not with request: what that means over several layers has its own test."""


@contextmanager
def workspace(said: Mapping[str, Said]) -> Iterator[Path]:
    """A workspace and a user folder with these files."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AFIELD_CONFIG_DIR", place)
        root = Path(place) / "work"
        root.mkdir()
        for name, values in said.items():
            (root.parent if name == "config.toml" else root).joinpath(name).write_text(tomlkit.dumps(values))
        yield root


def plain(found: config.Settings) -> Said:
    """The values without where they come from."""
    return {key.name: getattr(found, key.name) for key in KEYS} | {"env": dict(found.env)}


def joined(high: Said, low: Said) -> Said:
    """Two layers as one."""
    both = {**low, **high}
    if "env" in low or "env" in high:
        both["env"] = {**low.get("env", {}), **high.get("env", {})}
    for name, other in (("request", "gpus"), ("gpus", "request")):
        if name in high and other not in high:
            both.pop(other, None)
    return both


@settings(max_examples=60)
@given(LAYERS, LAYERS, LAYERS, LAYERS)
def test_layers_may_be_joined_in_any_order(flags: Said, local: Said, project: Said, user: Said) -> None:
    files = {"afield.local.toml": local, "afield.toml": project, "config.toml": user}
    with workspace(files) as root:
        whole = plain(config.load(root, flags))
    with workspace({"afield.local.toml": joined(local, project), "config.toml": user}) as root:
        assert plain(config.load(root, flags)) == whole
    with workspace({"afield.local.toml": local, "config.toml": joined(project, user)}) as root:
        assert plain(config.load(root, flags)) == whole
    with workspace({"config.toml": joined(local, joined(project, user))}) as root:
        assert plain(config.load(root, flags)) == whole
        assert plain(config.load(root, joined(flags, joined(local, joined(project, user))))) == whole


@settings(max_examples=60)
@given(LAYERS, LAYERS, LAYERS, LAYERS)
def test_each_value_has_the_place_that_said_it(flags: Said, local: Said, project: Said, user: Said) -> None:
    files = {"afield.local.toml": local, "afield.toml": project, "config.toml": user}
    with workspace(files) as root:
        found = config.load(root, flags)
        layers = [(flags, "flag"), *zip((local, project, user), names(root), strict=True)]
        for key in KEYS:
            if key.kind is Kind.VARIABLES:
                variables = {n for said, _ in layers for n in said.get("env", {})}
                assert {o for o in found.origins if o.startswith("env.")} == {f"env.{n}" for n in variables}
                for name in variables:
                    says = [where for said, where in layers if name in said.get("env", {})]
                    look_at(found.origins[f"env.{name}"], says[0], name)
                continue
            says = [where for said, where in layers if key.name in said]
            origin = found.origins[key.name]
            hidden = key.name in ("request", "gpus") and says and str(origin) == "default"
            if hidden or not says:
                assert str(origin) == "default"
                assert getattr(found, key.name) == getattr(config.Settings(), key.name)
            else:
                look_at(origin, says[0], key.name)
        assert not (found.request and found.gpus is not None)


def look_at(origin: config.Origin, where: str, name: str) -> None:
    """The origin is that file, and its line says the name; or it is the flag."""
    if where == "flag":
        assert str(origin).startswith("flag --")
        return
    assert origin.file == where
    line = Path(where).read_text().splitlines()[origin.line - 1]
    assert line.startswith(name), (line, name)


@pytest.mark.parametrize(
    ("flags", "project", "found"),
    [
        ({"need": "disk=1G"}, {"gpus": 2}, ("", 2, "disk=1G")),
        ({"gpus": 2}, {"need": "disk=1G"}, ("", 2, "disk=1G")),
        ({"need": "disk=1G"}, {"request": "[a]"}, ("", None, "disk=1G")),
        ({"request": "[a]"}, {"need": "disk=1G"}, ("[a]", None, "")),
        ({"request": "[a]"}, {"need": "disk=1G", "gpus": 2}, ("[a]", None, "")),
    ],
)
def test_a_need_goes_with_devices_and_not_with_a_request(flags: Said, project: Said, found: tuple[Any, ...]) -> None:
    with workspace({"afield.toml": project}) as root:
        settings_ = config.load(root, flags)
    assert (settings_.request, settings_.gpus, settings_.need) == found


def test_a_need_and_a_request_in_one_place_are_a_mistake() -> None:
    both = {"afield.toml": {"request": "[a]", "need": "disk=1G"}}
    with workspace(both) as root, pytest.raises(UsageError, match="request and need exclude each other"):
        config.load(root)
