"""`afield node …`: the machines."""

from __future__ import annotations

import sys
from typing import Any

import click

from afield.cli import context, show
from afield.cli.app import SETTINGS, Lazy
from afield.cli.table import NODE
from afield.cli.verbs.node_ls import ls, node_row
from afield.errors import AfieldError, UsageError

__all__ = ["add", "command", "login", "ls", "rm", "set_", "show_"]

command = Lazy(
    NODE,
    name="node",
    help="The machines: add, list, change and forget them.\n\n\b\n  afield node add user@host\n  afield node ls",
    context_settings=SETTINGS,
    no_args_is_help=True,
)


@click.command(name="add", short_help="add a host that ssh reaches")
@click.option("--name", help="Another name than the host's.")
@click.option("--devices", help="Devices that no probe can see: 2:gtx1070.")
@click.option("--address", help="What other nodes call this one.")
@click.option("-y", "--yes", is_flag=True, help="Trust the host key that the host shows now.")
@context.json_option
@click.argument("target")
def add(target: str, yes: bool, as_json: str | None, **told: str | None) -> None:
    """Add a host: user@host, or any name from your ssh config. It needs a login and Python 3.8 or newer.

    \b
      afield node add me@box1.lab
      afield node add box1 --devices 2:gtx1070
    """
    client = context.client()
    spec = {"target": target, **{k: v for k, v in told.items() if v is not None}}
    try:
        view = client.add_node(spec)
    except AfieldError as error:
        if error.code != "host-key-unknown":
            raise
        _trust(target, error, yes)
        view = client.add_node(spec)
    if as_json:
        show.as_json({"schema": 1, "node": view}, context.fields(as_json))
        return
    print(_line(view))
    show.hint(f"run there: afield run -n {view['name']} train.py")


def _trust(target: str, error: AfieldError, yes: bool) -> None:
    from afield.sdk.trust import fingerprints, trust

    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise error
    show.say(f"the key of {show.safe(target)} is not known; it shows")
    keys = fingerprints(target)
    for key in keys:
        show.say(f"  {show.safe(key.kind)} {show.safe(key.fingerprint)}")
    if not yes and not click.confirm("Is this the machine you mean?", err=True):
        raise UsageError(f"{target} was not added")
    trust(target, keys)


def _line(node: dict[str, Any]) -> str:
    _, _, cpu, memory, devices, *_ = node_row(node)
    parts = [f"{cpu} cores", f"{memory} memory", f"{show.size(node['disk_bytes'])} disk free"]
    if devices != "-":
        parts.insert(0, devices)
    facts = node["facts"]
    parts.append(f"uv {facts['uv']}" if facts.get("uv") else "no uv (sent when needed)")
    if node["health"] != "ready":
        parts.insert(0, node["health"].replace("_", " "))
    return show.safe(f"{node['name']}: {', '.join(parts)}")


@click.command(name="show", short_help="everything known about a node")
@click.option("--probe", is_flag=True, help="Ask it now.")
@context.json_option
@click.argument("name")
def show_(name: str, probe: bool, as_json: str | None) -> None:
    """Show everything known about a node.

    \b
      afield node show box1 --probe
    """
    client = context.client()
    view = client.probe_node(name) if probe else client.node(name)
    if as_json:
        show.as_json({"schema": 1, "node": view} if not context.fields(as_json) else view, context.fields(as_json))
        return
    rows = [
        ("node", view["name"]),
        ("health", view["health"]),
        ("detail", view["detail"]),
        ("backend", view["backend"]),
    ]
    rows += [("target", view["target"]), ("address", view["address"]), ("declared", view["declared"])]
    rows += _facts(view["facts"])
    rows += [("device", _device(device)) for device in view["devices"]]
    rows.append(("jobs", ", ".join(str(job) for job in view["jobs"])))
    for key, value in rows:
        if value:
            print(f"{show.paint(key.ljust(12), show.BOLD, sys.stdout)} {show.safe(value)}")


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What a person wants to know of a machine; all of it is in --json."""
    if not facts:
        return []
    return [
        ("system", f"{facts.get('os') or facts.get('system', '')}, {facts.get('arch', '')}"),
        ("cpu", f"{_number(facts, 'cpu'):g} cores, load {_number(facts, 'load'):.1f}"),
        ("memory", _of(facts, "memory")),
        ("disk", _of(facts, "disk")),
        ("python", facts.get("python", "")),
        ("uv", facts.get("uv") or "none: sent when needed"),
        ("account", f"{facts.get('user', '')}, home {facts.get('home', '')}"),
        ("folder", facts.get("root", "")),
    ]


def _of(facts: dict[str, Any], what: str) -> str:
    free, whole = _number(facts, f"{what}_free_bytes"), _number(facts, f"{what}_bytes")
    return f"{show.size(free)} free of {show.size(whole)}"


def _number(facts: dict[str, Any], name: str) -> float:
    """Facts travel as text."""
    return float(facts.get(name) or 0)


def _device(device: dict[str, Any]) -> str:
    memory = show.size(device["memory_bytes"]) if device["memory_bytes"] else ""
    user = f"job {device['job']}" if device["job"] else device["busy"] or "free"
    return ", ".join(part for part in (device["id"], device["model"], memory, user) if part)


@click.command(name="set", short_help="declare devices, an address, or drain it")
@context.json_option
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_(name: str, changes: tuple[str, ...], as_json: str | None) -> None:
    """Change what is believed of a node.

    \b
      afield node set box1 devices=2:gtx1070
      afield node set box1 drained=true
    """
    pairs = dict(c.partition("=")[::2] for c in changes if "=" in c)
    if len(pairs) != len(changes):
        raise UsageError("changes have the form KEY=VALUE", hints=[f"afield node set {name} devices=2:gtx1070"])
    view = context.client().set_node(name, pairs)
    if as_json:
        show.as_json({"schema": 1, "node": view}, context.fields(as_json))
    else:
        print(_line(view))


@click.command(name="login", short_help="log in where a person is asked")
@click.argument("name")
def login(name: str) -> int:
    """Open the connection in this terminal: passwords and second factors are asked here, by ssh itself.

    \b
      afield node login box1
    """
    import subprocess

    client = context.client()
    argv = client.shell(name)["login"]
    if not argv or client.node(name)["health"] == "ready":
        show.say(f"{name} needs no login")
        return 0
    status = subprocess.call(argv)
    if status:
        return 6
    view = client.probe_node(name)
    print(_line(view))
    return 0


@click.command(name="rm", short_help="forget a node")
@click.option("--force", is_flag=True, help="Even while jobs run on it: they are lost to us.")
@click.argument("name")
def rm(name: str, force: bool) -> None:
    """Forget a node. What lies on it stays there.

    \b
      afield node rm box1
    """
    context.client().remove_node(name, force=force)
    print(f"{name} is forgotten")
