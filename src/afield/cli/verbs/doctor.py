"""`afield doctor`: one line per check of this machine, the project and nodes, each with what fixes it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from afield.cli import context, show
from afield.errors import AfieldError

SIGNS = {"ok": ("✓", show.GREEN), "warn": ("!", show.YELLOW), "bad": ("✗", show.RED)}
LEAST_DISK = 2_000_000_000
MOST_SKEW_S = 5.0


class Check(NamedTuple):
    """One finding: where, how it is, what was found, what fixes it."""

    where: str
    state: str
    text: str
    fix: str = ""


@click.command(name="doctor", short_help="check this machine, the project and nodes")
@context.json_option
@click.argument("nodes", nargs=-1)
def command(nodes: tuple[str, ...], as_json: str | None) -> int:
    """Check this machine, the project here, and nodes (all when none is named). Exit 1 when something is wrong.

    \b
      afield doctor
      afield doctor box1
    """
    checks: list[Check] = []
    for check in _all(nodes):
        checks.append(check)
        if not as_json:
            sign, colour = SIGNS[check.state]
            print(f"{show.paint(sign, colour, sys.stdout)} {check.where:<10} {show.safe(check.text)}")
            if check.fix:
                print(f"             try: {show.safe(check.fix)}")
    if as_json:
        show.as_json({"schema": 1, "checks": [c._asdict() for c in checks]}, context.fields(as_json))
    return 1 if any(c.state == "bad" for c in checks) else 0


def _all(nodes: tuple[str, ...]) -> Iterator[Check]:
    yield from _machine()
    yield from _kept()
    yield from _project()
    client = context.client()
    for name in nodes or [n["name"] for n in client.nodes()]:
        yield from _node(client, name)


def _machine() -> Iterator[Check]:
    yield Check("machine", "ok", f"Python {sys.version.split()[0]}")
    for program, use in (("git", "snapshots of your code"), ("ssh", "nodes that ssh reaches")):
        found = shutil.which(program)
        state = "ok" if found else "bad"
        yield Check(
            "machine",
            state,
            f"{program}: {found or 'missing'}",
            "" if found else f"install {program}: needed for {use}",
        )
    from afield.config import folders

    free = shutil.disk_usage(folders().state).free
    low = free < LEAST_DISK
    yield Check(
        "machine", "warn" if low else "ok", f"{show.size(free)} free for the store", "free some space" if low else ""
    )


def _kept() -> Iterator[Check]:
    """What grows on this machine, and what removes it."""
    from afield.config import folders

    told = folders()
    for name, folder in (
        ("output of jobs, kept with them", os.path.join(told.state, "output")),
        ("snapshots of your code", os.path.join(told.cache, "shadow")),
    ):
        if os.path.isdir(folder):
            yield Check("machine", "ok", f"{show.size(_bytes(folder))} {name}: {folder}")


def _bytes(folder: str) -> int:
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(above, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _project() -> Iterator[Check]:
    from afield.sdk.submit import describe

    try:
        for text in describe():
            yield Check("project", "ok", text)
    except AfieldError as error:
        yield Check("project", "bad", error.what, error.hints[0] if error.hints else error.why)


def _node(client: Any, name: str) -> Iterator[Check]:
    try:
        view = client.probe_node(name)
    except AfieldError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        yield Check(name, "bad", why, error.hints[0] if error.hints else "")
        return
    facts = view["facts"]
    yield Check(name, "ok", f"answers; Python {facts.get('python', '?')}, folder {facts.get('root', '?')}")
    skew = float(facts.get("time") or time.time()) - time.time()
    if abs(skew) > MOST_SKEW_S:
        yield Check(
            name, "warn", f"its clock differs by {show.duration(abs(skew))}", "set up time synchronisation there"
        )
    low = view["disk_bytes"] < LEAST_DISK
    yield Check(
        name,
        "warn" if low else "ok",
        f"{show.size(view['disk_bytes'])} disk free",
        "free some space there" if low else "",
    )
    if facts.get("linger") == "False" and facts.get("systemd_user") == "True":
        yield Check(name, "warn", "its login manager may end jobs at logout", "loginctl enable-linger, on the node")
    uv = facts.get("uv")
    yield Check(name, "ok", f"uv {uv}" if uv else "no uv: ours is sent when an environment needs it")
    for device in view["devices"]:
        if device["busy"]:
            yield Check(name, "warn", f"device {device['id']} is used by {device['busy']}")
