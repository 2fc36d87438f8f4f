"""`afield node ls`: the machines in a table, as they were when last asked, or asked now with `--probe`."""

from __future__ import annotations

from typing import Any

import click

from afield.cli import context, show
from afield.cli.grid import Column
from afield.cli.jobs import is_free

SKEW_S = 2.0
"""A clock that differs by less is right."""

HEADS = ["NODE", "HEALTH", "CPU", "MEMORY", "DEVICES", "JOBS", "ASKED"]
PROBED: list[str | Column] = [
    *("NODE", "STATE", "WHAT", "MEMORY FREE", "DISK FREE"),
    Column("LOAD", rank=1),
    Column("UV", rank=3),
    "NET",
    Column("CLOCK", rank=2),
    "NOTE",
]
COLOURS = {1: {**show.PHASE_COLOURS, "free": show.GREEN, "job": show.YELLOW, "in": show.YELLOW}}


@click.command(name="ls", short_help="list nodes")
@click.option("--probe", is_flag=True, help="Ask all of them now: a row per node and per device.")
@context.json_option
def ls(probe: bool, as_json: str | None) -> None:
    """List nodes with their health and what they have.

    \b
      afield node ls
      afield node ls --probe       which of them is free, now
    """
    client = context.client()
    nodes = client.probe_nodes() if probe else client.nodes()
    if as_json:
        show.as_json({"schema": 1, "nodes": nodes}, context.fields(as_json))
    elif probe:
        show.table([row for node in nodes for row in probed_rows(node)], PROBED, COLOURS)
        for node in nodes:
            silent(node)
    else:
        show.table([node_row(n) for n in nodes], HEADS, {1: show.PHASE_COLOURS})
        for node in nodes:
            silent(node)


def silent(node: dict[str, Any]) -> None:
    """Say of a node that does not answer why, and what to try."""
    if node["health"] in ("unreachable", "needs_login"):
        show.say(show.safe(node["detail"] or f"{node['name']}: {node['health']}"))
        for text in node["hints"][:1]:
            show.hint(f"  try: {show.safe(text)}")


def node_row(node: dict[str, Any]) -> list[str]:
    """A node as a row of a table."""
    free = [d for d in node["devices"] if is_free(d)]
    counts: dict[str, int] = {}
    for device in node["devices"]:
        counts[device["model"]] = counts.get(device["model"], 0) + 1
    devices = ", ".join(f"{n} × {m}" for m, n in counts.items())
    if devices:
        devices += f" ({len(free)} free)"
    known = node["seen_at"] is not None
    return [
        node["name"],
        node["health"],
        f"{node['cpu']:g}" if known else "-",
        show.size(node["memory_bytes"]) if known else "-",
        devices or "-",
        ",".join(str(j) for j in node["jobs"]) or "-",
        show.ago(node["asked_at"] or node["seen_at"]),
    ]


def probed_rows(node: dict[str, Any]) -> list[list[str]]:
    """A node that was asked just now: a row of its own, and one for each device."""
    told = node["probe"]
    if told["error"]:
        why = told["error"]["why"] or told["error"]["what"]
        state = node["health"] if node["health"] == "needs_login" else "unreachable"
        return [[node["name"], state, *["-"] * 7, " ".join(why.split())]]
    first = [
        node["name"],
        node["health"],
        f"{node['cpu']:g} cores",
        f"{show.size(told['memory_free_bytes'])} of {show.size(node['memory_bytes'])}",
        f"{show.size(told['disk_free_bytes'])} of {show.size(told['disk_bytes'])}",
        f"{told['load']:.1f}",
        told["uv"] or "none",
        told["internet"] or "-",
        _clock(told["skew_s"]),
        _note(node),
    ]
    return [first, *(_device_row(node["name"], device) for device in node["devices"])]


def _note(node: dict[str, Any]) -> str:
    jobs = (
        f"runs {'job' if len(node['jobs']) == 1 else 'jobs'} {','.join(map(str, node['jobs']))}" if node["jobs"] else ""
    )
    return "; ".join(filter(None, (jobs, node["probe"]["devices_error"]))) or "-"


def _clock(skew: float) -> str:
    return "right" if abs(skew) < SKEW_S else f"{show.duration(abs(skew))} {'fast' if skew > 0 else 'slow'}"


def _device_row(name: str, device: dict[str, Any]) -> list[str]:
    used, whole = device["used_bytes"], device["memory_bytes"]
    state, note = "free", "-"
    if device["job"]:
        state = f"job {device['job']}"
    elif device["busy"]:
        state = f"in use: {device['busy']}"
    elif whole and device["taken_bytes"] > whole / 20:
        note = f"{show.size(used)} in use by what cannot be seen"
    free = f"{show.size(max(0, whole - (used or 0)))} of {show.size(whole)}" if whole else "-"
    return [name, state, f"{device['model']} {device['index']}", free, *["-"] * 5, note]
