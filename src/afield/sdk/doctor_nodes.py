"""What is looked at on each node: all are asked at once, so that the slowest decides how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from afield.errors import AfieldError
from afield.model.amount import about_bytes, format_time
from afield.sdk.doctor import BAD, LEAST_DISK, OK, WARN, Check

if TYPE_CHECKING:
    from afield.sdk.client import Client

MOST_SKEW_S = 2.0
OLDEST_PYTHON = (3, 8)
AT_ONCE = 16


def nodes(client: Client, names: Sequence[str]) -> Iterator[Check]:
    """Every named node, or all. Raises NotFound for a name that is none."""
    probed = client.probe_nodes(names or None)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for view, there in zip(probed, pool.map(lambda v: _there(client, v), probed), strict=True):
            yield from node(view, there)


def _there(client: Client, view: dict[str, Any]) -> dict[str, Any]:
    if view["probe"]["error"]:
        return {}
    try:
        return client.clean_node(view["name"], act=False)
    except AfieldError:
        return {}


def node(view: dict[str, Any], there: dict[str, Any]) -> Iterator[Check]:
    """One node from its probe, and from what lies there."""
    name, told = view["name"], view["probe"]
    error = told["error"]
    if error:
        text = f"{error['what']}: {error['why']}" if error["why"] else error["what"]
        yield Check(name, BAD, text, error["hints"][0] if error["hints"] else "")
        return
    facts = view["facts"]
    yield Check(name, OK, f"answers in {told['took_s']:.2f} s; folder {facts.get('root', '?')}")
    yield _python(name, str(facts.get("python", "")))
    yield from _home(name, facts)
    yield _clock(name, told["skew_s"])
    for place in there.get("closed", ()):
        yield Check(name, BAD, f"{place} cannot be written: no job can start", f"let the account write to {place}")
    yield from _room(name, told, there)
    if facts.get("linger") == "False" and facts.get("systemd_user") == "True":
        yield Check(name, WARN, "its login manager may end jobs at logout", "loginctl enable-linger, on the node")
    yield _packages(name, told)
    yield from _devices(view)
    yield from _attempts(view, there)
    if view["drained"]:
        yield Check(name, WARN, "it is drained: it takes no jobs", f"afield node set {name} drained=false")


def _python(name: str, text: str) -> Check:
    parts = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    old = len(parts) == 2 and parts < OLDEST_PYTHON
    return Check(name, BAD if old else OK, f"Python {text or 'unknown'}", "install Python 3.8 or newer" if old else "")


def _home(name: str, facts: dict[str, str]) -> Iterator[Check]:
    if facts.get("fs") != "network":
        return
    kind, local = facts.get("root_fs") or "a network file system", facts.get("runroot")
    if facts.get("run_fs"):
        text = f"its home ({kind}) and {local} ({facts['run_fs']}) are on a network: locks do not hold there"
        yield Check(name, BAD, text, f"have /var/tmp on a disk of {name}; until then run nothing there")
        return
    text = f"its home is on {kind}: what runs is kept in {local}, on that machine; code and environments in the home"
    fix = f"keep {local} out of what is cleaned by age; let programs write much data to a disk of {name}"
    yield Check(name, OK, text, fix)


def _clock(name: str, skew: float) -> Check:
    if abs(skew) < MOST_SKEW_S:
        return Check(name, OK, "its clock is right")
    way = "fast" if skew > 0 else "slow"
    return Check(
        name, WARN, f"its clock is {format_time(round(abs(skew), 1))} {way}", "set up time synchronisation there"
    )


def _room(name: str, told: dict[str, Any], there: dict[str, Any]) -> Iterator[Check]:
    free = told["disk_free_bytes"]
    low = free < LEAST_DISK
    text = f"{about_bytes(free)} of {about_bytes(told['disk_bytes'])} disk free"
    if there.get("bytes"):
        runs = f"{there['runs']} run folder{'s' * (there['runs'] != 1)}"
        text += f"; afield keeps {about_bytes(there['bytes'])} there, {runs}"
    fix = (f"afield node clean {name}" if there.get("bytes") else "free some space there") if low else ""
    yield Check(name, WARN if low else OK, text, fix, f"clean:{name}" if low and there.get("bytes") else "")


def _packages(name: str, told: dict[str, Any]) -> Check:
    uv = f"uv {told['uv']}" if told["uv"] else "no uv: ours is sent when an environment needs it"
    reach = {
        "yes": "it reaches the package index",
        "no": "it reaches no package index: builds go through this machine",
        "own": "it has a proxy or an index of its own",
    }
    return Check(name, OK, "; ".join(filter(None, (uv, reach.get(told["internet"])))))


def _devices(view: dict[str, Any]) -> Iterator[Check]:
    trouble = view["probe"]["devices_error"]
    if trouble:
        yield Check(view["name"], BAD, f"its devices: {trouble}", "look at nvidia-smi there")
    for device in view["devices"]:
        what = f"{device['model']} {device['index']}"
        if device["busy"]:
            yield Check(view["name"], WARN, f"{what} is used by {device['busy']}, which is no job of yours")
        elif device["job"] is None and device["memory_bytes"] and device["taken_bytes"] > device["memory_bytes"] / 20:
            size = about_bytes(device["taken_bytes"])
            yield Check(view["name"], WARN, f"{size} of {what} are in use, by whom cannot be seen")


def _attempts(view: dict[str, Any], there: dict[str, Any]) -> Iterator[Check]:
    """Attempts that live there and that no job here is about, and results that are only there."""
    known = set(view["jobs"])
    strange = [a for a in there.get("live", ()) if int(a.partition(".")[0]) not in known]
    if strange:
        text = f"attempts {', '.join(strange)} run there, and no unfinished job is theirs"
        yield Check(view["name"], WARN, text, f"afield show {strange[0].partition('.')[0]}")
    if there.get("waiting"):
        yield Check(view["name"], OK, f"the end of attempts {', '.join(there['waiting'])} is still on its way home")
    if there.get("others"):
        yield Check(view["name"], OK, f"other stores of this account keep things there: {len(there['others'])}")
