"""The Python environment of an attempt on this node: is it there, what builds it, what uses it.

An environment lies in `env/KEY-PLATFORM`: KEY is the hash of what defines it, PLATFORM the node's machine and C
library, because a home folder may be shared by nodes of several kinds. It is whole when its marker is there (written
last) and its interpreter still exists; anything else is removed and built again by `environment_build`, as a stage.

The project's own code is never installed: its folder is another one in each attempt. It is made importable by
PYTHONPATH instead (`variables`): the root of the code and every project in it that the environment was made from, each
with its `src` folder first. After them comes our own `lib`, where `import afield` leads in a job. So command-line
scripts and metadata of the project itself are not there, and what must be compiled is the business of `setup`.
"""

import json
import os
import sys

MARKER = ".afield-ok"
BARE = ("none", "plain")
NEEDS_UV = 93
"""The exit status of a build on a node without a uv that is new enough."""
MINIMUM_UV = (0, 12)
REACH_S = 3.0
WAY = ("HTTPS_PROXY", "UV_DEFAULT_INDEX", "AFIELD_NO_WAY")
"""What the controller may give to a build that asks for a way to the index: one through it, or why there is none."""
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from %s import environment_build as b; sys.exit(b.main(sys.argv[2]))"
)
_PASSED_ON = ("UV_", "SSL_CERT_", "XDG_", "PYENV_ROOT", "AFIELD_KILL")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


def folder(paths, spec):
    """The folder of the attempt's environment; "" when it has none of its own."""
    key = _environment(spec).get("key") or ""
    return paths.env("%s-%s" % (key, _platform())) if key else ""


def needed(paths, spec):
    """Whether the environment has to be built (or waited for) before the program can start. Two looks, no lock.

    One that is there is marked as used now.
    """
    place = folder(paths, spec)
    if not place or not whole(place):
        return bool(place)
    try:
        os.utime(place + "/" + MARKER)
    except OSError:
        pass  # only an order for what goes first when room is short
    return False


def stage(paths, attempt):
    """The folder of the build of an attempt's environment, as a stage of it."""
    return paths.run(attempt) + "/stage/environment"


def whole(place):
    """Whether the environment in this folder was finished and its interpreter is still on the node."""
    return os.path.exists(place + "/" + MARKER) and os.path.exists(place + "/bin/python")


def argv(paths, spec):
    """(argv, variables) of the program that builds the environment; it talks on its standard error.

    It is safe to start twice and to kill. It ends with 0 when the environment is there, NEEDS_UV when the node has
    no uv, else 1. `variables` go on top of the usual base: indexes, proxies and certificates as this account has them.
    """
    environment = _environment(spec)
    job = {
        "folder": folder(paths, spec),
        "source": source(paths, spec),
        "tools": paths.root + "/bin",
        "kind": environment.get("kind"),
        "python": environment.get("python") or "",
        "files": list(environment.get("files") or ()),
        "packages": list(environment.get("packages") or ()),
        "stage": stage(paths, "%s.%s" % (spec["job"], spec["attempt"])),
        "indexes": list(environment.get("indexes") or ()),
    }
    package = __name__.rpartition(".")[0]
    above = os.path.abspath(__file__)
    for _ in range(package.count(".") + 2):
        above = os.path.dirname(above)
    return [sys.executable, "-I", "-S", "-c", _PROGRAM % package, above, json.dumps(job)], dict(_passed_on())


def own_index():
    """Whether this account has settings of its own for where packages come from."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_OFFLINE", "UV_NO_INDEX")
    if any(k in names or k.lower() in ("https_proxy", "all_proxy") for k in os.environ):
        return True
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for place in (home + "/uv/uv.toml", "/etc/uv/uv.toml"):
        try:
            with open(place) as file:
                text = file.read()
        except (OSError, ValueError):
            continue
        if any(word in text for word in ("index", "find-links", "offline", "https-proxy")):
            return True
    return False


def reached(host, port, within_s=REACH_S):
    """Whether somebody takes connections there."""
    import socket  # few nodes are asked, and once each

    try:
        socket.create_connection((host, port), within_s).close()
    except OSError:
        return False
    return True


def python(paths, spec):
    """The interpreter for the attempt's `.py` files: a path, or "python3" to be looked up in the program's PATH."""
    place = folder(paths, spec)
    return place + "/bin/python" if place else "python3"


def variables(paths, spec):
    """What a process needs to live in the environment: VIRTUAL_ENV, PATH_PREPEND, PYTHONPATH, each where it applies.

    PATH_PREPEND is a folder that goes in front of PATH; a PYTHONPATH of the user's own goes in front of ours.
    """
    environment = _environment(spec)
    found = {}
    place = folder(paths, spec)
    if place:
        found["VIRTUAL_ENV"] = place
        found["PATH_PREPEND"] = place + "/bin"
    places = [library()]
    if spec.get("code") and environment.get("kind") != "none":
        places = importable(source(paths, spec), environment.get("files") or ()) + places
    found["PYTHONPATH"] = ":".join(places)
    return found


def library():
    """Where jobs find what we bring them to import; nothing is there before the runner has travelled."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")


def importable(root, files):
    """The folders for PYTHONPATH: each project among the defining files, then the root; `src` before its parent."""
    projects = [os.path.dirname(name) for name in files if os.path.basename(name) in _PROJECT_FILES]
    found = []
    for project in projects + [""]:
        place = root + "/" + project if project else root
        for candidate in (place + "/src", place):
            if candidate not in found and os.path.isdir(candidate):
                found.append(candidate)
    return found


def source(paths, spec):
    """The attempt's own copy of the code."""
    return paths.job("%s.%s" % (spec["job"], spec["attempt"])) + "/src"


def uv_places(tools, path):
    """Where uv may be on this node, best first: what was sent to us, `path`, where its installers put it."""
    try:
        sent = sorted((name for name in os.listdir(tools) if name.startswith("uv-")), key=uv_version, reverse=True)
    except OSError:
        sent = []
    folders = path.split(":") + [os.path.expanduser(p) for p in ("~/.local/bin", "~/.cargo/bin")]
    places = [tools + "/" + name for name in sent] + [place + "/uv" for place in folders if place]
    return [place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)]


def uv_version(text):
    """The version in "uv 0.13.8 (...)" or "uv-0.13.8" as numbers; () when there is none."""
    words = text.replace("-", " ").split()
    parts = words[1].split(".") if len(words) > 1 else []
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _environment(spec):
    return spec.get("environment") or {}


def _platform():
    names = os.uname()
    try:
        library = (os.confstr("CS_GNU_LIBC_VERSION") or "").replace(" ", "")
    except (ValueError, OSError):
        library = ""
    return "%s-%s" % (names.machine, library or names.sysname.lower())


def _passed_on():
    return {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON) or k.lower().endswith("_proxy")}
