"""The question to the user's own Python: which packages it has, which modules and programs each brings. Prints JSON.

Run as a program by any Python 3.7 or newer, without our package: standard library only, and nothing is imported that
the packages bring. Each package is [name, version, origin, commit, editable, modules, programs].
"""

from __future__ import annotations

import json
import os
import re
import site
import sys
from collections.abc import Iterator
from typing import Any

DEEP = 4


def lines(path: str) -> list[str]:
    """The lines of a text file; none when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except (OSError, ValueError):
        return []


def packages(folders: list[str]) -> list[dict[str, Any]]:
    """Every package with a record in these folders, the first of each name."""
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                package = _package(folder, name)
                if package is not None:
                    found.setdefault(re.sub(r"[-_.]+", "-", package["name"]).lower(), package)
    return [found[key] for key in sorted(found)]


def _package(folder: str, record: str) -> dict[str, Any] | None:
    place = os.path.join(folder, record)
    fields: dict[str, str] = {}
    for line in lines(os.path.join(place, "METADATA")) or lines(os.path.join(place, "PKG-INFO")) or lines(place):
        if not line or len(fields) == 2:
            break
        key, _, value = line.partition(":")
        if key in ("Name", "Version"):
            fields.setdefault(key, value.strip())
    if len(fields) < 2:
        return None
    package: dict[str, Any] = {
        "name": fields["Name"],
        "version": fields["Version"],
        "origin": "",
        "commit": "",
        "editable": False,
    }
    _origin(place, package)
    package["files"] = [line.rsplit(",", 2)[0].strip('"') for line in lines(os.path.join(place, "RECORD"))]
    package["tops"] = _tops(folder, place, package)
    package["programs"] = _programs(os.path.join(place, "entry_points.txt"))
    return package


def _origin(place: str, package: dict[str, Any]) -> None:
    try:
        direct = json.loads("\n".join(lines(os.path.join(place, "direct_url.json"))) or "{}")
        url = str(direct.get("url") or "")
        vcs = direct.get("vcs_info") or {}
        directory = direct.get("dir_info") or {}
    except (ValueError, AttributeError):
        return
    # Builders of distributions leave the folder where they built: those packages come from an index all the same.
    if lines(os.path.join(place, "INSTALLER"))[:1] == ["conda"] or "feedstock_root" in url or "/croot/" in url:
        return
    package["commit"] = str(vcs.get("commit_id") or "")
    package["origin"] = f"{vcs.get('vcs') or 'git'}+{url}" if package["commit"] else url
    package["editable"] = bool(directory.get("editable"))


def _tops(folder: str, place: str, package: dict[str, Any]) -> set[str]:
    tops: set[str] = set()
    for name in package["files"]:
        first, slash, rest = name.partition("/")
        if first in ("..", "__pycache__") or first.endswith((".dist-info", ".egg-info", ".pth", ".data")):
            continue
        if slash and rest.endswith((".py", ".so", ".pyd")):
            tops.add(first)
        elif not slash and first.endswith((".py", ".so", ".pyd")) and not first.startswith("__editable__"):
            tops.add(first.partition(".")[0])
    tops = tops or {line.strip() for line in lines(os.path.join(place, "top_level.txt")) if line.strip()}
    tops = {top for top in tops if not top.startswith("__editable__")}
    if package["editable"]:
        tops |= _editable(folder, package)
    return tops or {re.sub(r"[-.]+", "_", package["name"])}


def _editable(folder: str, package: dict[str, Any]) -> set[str]:
    """The modules of a project that is installed where it lies: those in the folders that its .pth file names."""
    found: set[str] = set()
    for name in package["files"]:
        text = lines(os.path.join(folder, name)) if "/" not in name and name.endswith((".pth", "_finder.py")) else []
        for line in text:
            found.update(re.findall(r"'(\w+)': '/", line) if line.startswith("MAPPING") else ())
            if line.startswith("/") and os.path.isdir(line):
                found.update(_modules(line))
    return found


def _modules(folder: str) -> Iterator[str]:
    for name in os.listdir(folder):
        if name.endswith(".py"):
            yield name[:-3]
        elif os.path.isfile(os.path.join(folder, name, "__init__.py")):
            yield name


def _programs(path: str) -> list[str]:
    found, inside = [], False
    for line in lines(path):
        if line.startswith("["):
            inside = line.strip() in ("[console_scripts]", "[gui_scripts]")
        elif inside and "=" in line:
            found.append(line.partition("=")[0].strip())
    return found


def modules(package: dict[str, Any], shared: set[str]) -> list[str]:
    """The names by which a package's modules are known: whole where the first part belongs to several packages."""
    found: set[str] = package["tops"] - shared
    for name in package["files"]:
        parts = name.split("/")
        if parts[0].partition(".")[0] not in shared or not name.endswith((".py", ".so", ".pyd")):
            continue
        parts[-1] = parts[-1].partition(".")[0]
        if parts[-1] == "__init__":
            parts.pop()
        if len(parts) <= DEEP and parts and all(part.isidentifier() for part in parts):
            found.add(".".join(parts))
    return sorted(found or package["tops"])


def main() -> None:
    """Prints the answer as one line."""
    folders = [path for path in sys.path if path and os.path.isdir(path)]
    known = packages(folders)
    counts: dict[str, int] = {}
    for package in known:
        for top in package["tops"]:
            counts[top] = counts.get(top, 0) + 1
    shared = {top for top, count in counts.items() if count > 1}
    rows = [
        [p["name"], p["version"], p["origin"], p["commit"], p["editable"], modules(p, shared), p["programs"]]
        for p in known
    ]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    # The user's own folder counts as soon as somebody makes it.
    watched = [*folders, site.getusersitepackages()]
    sys.stdout.write(json.dumps({"python": version, "path": watched, "packages": rows}) + "\n")


if __name__ == "__main__":
    main()
