"""Every command for real: `--json` prints what the reference says, and bad targets are refused in three parts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import click
import pytest
from typing_extensions import is_typeddict

from afield.cli.context import JobTarget
from afield.testing.answers import ANSWERS, Failed
from afield.testing.hosts import Hosts
from afield.testing.sandbox import Sandbox
from tests.unit.cli.test_tree import TREE

WITH_JSON = [name for name, command in TREE.items() if any("--json" in p.opts for p in command.params)]

REAL: dict[str, list[str]] = {
    "run": ["run --json -- true", "run -d --json -- true", "run --dry-run --json -- true"],
    "rerun": ["rerun 1 --json", "rerun 1 -d --json"],
    "stop": ["stop 3 --json"],
    "wait": ["wait 1 --json", "wait 2 --json"],
    "ps": ["ps --json", "ps --all --json"],
    "logs": ["logs 1 --json", "logs 1 -f --json"],
    "show": ["show 1 --json", "show 2 --json", "show 4 --json"],
    "why": ["why 1 --json", "why 4 --json"],
    "diff": ["diff 1 --json", "diff 1 2 --json"],
    "status": ["status --json"],
    "ls": ["ls 1: --json", "ls local: --json"],
    "push": ["push data.txt home:x/ --json"],
    "pull": ["pull 1 --json", "pull 1:src/hello.py got --json"],
    "fetch": ["fetch URL/data.txt --json"],
    "secret ls": ["secret ls --json"],
    "node ls": ["node ls --json", "node ls --probe --json"],
    "node show": ["node show local --json", "node show local --probe --json"],
    "node set": ["node set local devices=2:gtx1070 --json"],
    "node clean": ["node clean local --dry-run --json"],
    "init": ["init --dry-run --json", "init --json --force"],
    "doctor": ["doctor --json"],
    "config": ["config --json"],
    "bundle": ["bundle --json -- hello.py"],
}
"""By command: command lines in a project where job 1 succeeded, 2 failed, 3 runs and 4 waits."""

ELSEWHERE = {"node add", "forward", "notebook", "tensorboard"}
"""What needs a host of its own, or lasts until Ctrl-C: test_forward.py and test_notebook.py read what these print."""

BAD: dict[str, str] = {
    "run": "run no-such-thing.py",
    "bundle": "bundle no-such-thing.py",
    "exec": "exec -n no-such-thing -- true",
    "push": "push no-such-thing home:",
    "pull": "pull no-such-thing",
    "fetch": "fetch no-such-thing",
    "node add": "node add no-such-thing.invalid",
    "node set": "node set no-such-thing devices=",
}
"""Command lines that name what is not there; of other commands each argument does."""


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with Sandbox() as made:
        (made.project / "hello.py").write_text("import json\nprint('hello')\n")
        (made.project / "data.txt").write_text("1 2 3\n")
        made.afield("run", "-q", "hello.py")
        made.afield("run", "-q", "--", "sh", "-c", "echo bad >&2; exit 3")
        made.afield("run", "-d", "--request", "[cpu=1]", "--name", "long", "--", "sleep", "600")
        made.afield("run", "-d", "--request", f"[cpu={cores(made)}]", "--priority", "-1", "--", "true")
        yield made


def cores(sandbox: Sandbox) -> int:
    nodes = json.loads(sandbox.afield("node", "ls", "--json").stdout)["nodes"]
    return int(nodes[0]["cpu"])


@pytest.fixture(scope="module")
def address(place: Sandbox) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=place.project)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def unlike(value: Any, hint: Any, at: str = "it") -> list[str]:
    """Where a value is not of a shape; fields that the shape does not have count too."""
    if is_typeddict(hint):
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        hints = get_type_hints(hint)
        odd = [f"{at}.{name} is not in {hint.__name__}" for name in value.keys() - hints.keys()]
        odd += [f"{at}.{name} is missing" for name in hints.keys() - value.keys()]
        return odd + [line for k in hints.keys() & value.keys() for line in unlike(value[k], hints[k], f"{at}.{k}")]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        found = [unlike(value, one, at) for one in inner]
        return min(found, key=len)
    if origin is list:
        return [f"{at} is no list"] if not isinstance(value, list) else _inside(enumerate(value), inner[0], at)
    if origin is dict:
        return [f"{at} is no object"] if not isinstance(value, dict) else _inside(value.items(), inner[1], at)
    known = (int, float) if hint is float else hint
    right = isinstance(value, known) and not (isinstance(value, bool) and hint is not bool)
    return [] if right else [f"{at} is {value!r}, no {hint.__name__}"]


def _inside(items: Any, hint: Any, at: str) -> list[str]:
    return [line for key, value in items for line in unlike(value, hint, f"{at}.{key}")]


def check(name: str, out: bytes) -> None:
    """Each line is one of the shapes that the command may print; the output of a program that is followed is not."""
    lines = out.splitlines()[-1 if name in ("run", "rerun") else 0 :]
    assert lines, "nothing was printed"
    for line in lines:
        told = json.loads(line)
        found = [unlike(told, shape) for shape in ANSWERS[name]]
        assert min(map(len, found)) == 0, (min(found, key=len), told)


def test_each_command_with_json_is_described_and_tried() -> None:
    assert set(ANSWERS) == set(WITH_JSON), "afield.testing.answers says what --json prints; add the command there"
    assert set(REAL) | ELSEWHERE >= set(WITH_JSON), "add a command line to REAL"


@pytest.mark.parametrize("line", [line for lines in REAL.values() for line in lines])
def test_json_is_as_the_reference_says(place: Sandbox, address: str, line: str) -> None:
    words = line.replace("URL", address).split()
    name = next(n for n in (" ".join(words[:2]), words[0]) if n in REAL)
    done = place.afield(*words)
    assert done.returncode in ((3,) if line.startswith("wait 2") else (0, 1) if name == "doctor" else (0,)), done.stderr
    check(name, done.stdout)


def test_json_of_a_new_node(hosts: Hosts, sandbox: Sandbox) -> None:
    check("node add", sandbox.afield("node", "add", hosts[0].name, "--json").stdout)
    check("node ls", sandbox.afield("node", "ls", "--json").stdout)


@pytest.mark.parametrize("name", sorted(TREE))
def test_what_is_not_there_is_refused(place: Sandbox, name: str) -> None:
    words = bad(name)
    done = place.afield(*words)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (2, 3, 6), (words, done.stdout, done.stderr)
    assert done.stderr.startswith(b"error: "), done.stderr
    assert b"  try: " in done.stderr, done.stderr
    if name in WITH_JSON:
        told = place.afield(*words[: len(name.split())], "--json", *words[len(name.split()) :])
        assert unlike(json.loads(told.stdout), Failed) == []
        assert json.loads(told.stdout)["error"]["exit"] == told.returncode == done.returncode


def bad(name: str) -> list[str]:
    """A command line with a target that is not there; a surplus word where no target is taken."""
    if name in BAD:
        return BAD[name].split()
    command = TREE[name]
    if isinstance(command, click.Group):
        return [*name.split(), "no-such-thing"]
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    if not arguments:
        return [*name.split(), "no-such-thing"]
    words = ["999999" if isinstance(p.type, JobTarget) else "no-such-thing" for p in arguments if p.required]
    return [*name.split(), *(words or ["no-such-thing"])]
