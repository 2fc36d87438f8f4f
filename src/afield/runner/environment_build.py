"""Builds one environment on this node with uv: the program of the stage "environment" (`environment.argv` starts it).

One builder at a time (a kernel lock beside the folder, which uv's processes inherit: a new builder waits for what a
killed one left running). A half-made folder is removed; the marker is written last, after everything is on the disk.
The user's files are read in place and never changed: locks are used frozen, the project itself is not installed, and
folders that requirements name (`-e .`) are installed as copies with their dependencies; PYTHONPATH puts the live code
before them.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import time

from . import environment_way
from .environment import MARKER, MINIMUM_UV, NEEDS_UV, uv_places, uv_version, whole
from .points import around

TAIL = 16 * 1024
_LOCAL = re.compile(r'^name = "([^"]+)"\n(?:version = .*\n)?source = \{ (?:editable|directory) = ', re.MULTILINE)
_MISLEADING = frozenset(
    (
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_WORKING_DIR",
        "UV_WORKING_DIRECTORY",
        "UV_FROZEN",
        "UV_LOCKED",
        "UV_NO_SYNC",
        "UV_TARGET",
        "UV_PREFIX",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PYTHONPATH",
        "PYTHONHOME",
    )
)
"""Settings of somebody's own work with uv, which would lead this build elsewhere."""

ADVICE = (
    (
        r"No space left|os error 28|[Qq]uota exceeded|os error 122",
        "free space on this node; `uv cache clean` there removes what can be fetched again",
    ),
    (
        r"python-build-standalone|No interpreter found|No download found",
        "ask for a Python that this node has with --python, or install the wanted one there",
    ),
    (
        r"invalid peer certificate",
        "this network signs with certificates of its own: write `system-certs = true` into ~/.config/uv/uv.toml on "
        "this node, or set SSL_CERT_FILE there",
    ),
    (
        r"404 Not Found",
        "the index does not have that file any more: `uv lock --upgrade-package NAME` where the lock is made, or "
        "another version; or name the index that has it",
    ),
    (
        r"dns error|error sending request|Failed to fetch|Connection refused|timed out",
        "let this node reach the package index: HTTPS_PROXY or UV_DEFAULT_INDEX in its environment;"
        " or use the packages that it has: --environment plain",
    ),
    (
        r"there is no version of|no versions? of|was not found in the package registry|not found in the registry",
        "ask for a version that the index has, or for the index that has it: the lines above name it",
    ),
    (r"No solution found", "change the versions asked for; the lines above say which of them exclude each other"),
    (
        r"Failed to build|build backend",
        "the package has no ready-made wheel for this node: choose another version or Python",
    ),
)


LOST_WAY = (
    "the same again, where your machine stays connected: it goes on with what uv has downloaded; or give this node a"
    " mirror of its own: UV_DEFAULT_INDEX in its environment"
)
NOT_THERE = "look at the network of your machine: it is connected to this node, but reaches no package index itself"


class Failed(Exception):
    """A step of the build did not work; its own words, which end with `tail`, were shown. `advice` is the last line."""

    def __init__(self, advice, status=1, tail=""):
        super().__init__(advice)
        self.advice = advice
        self.status = status
        self.tail = tail


def main(text):
    """Builds what the JSON object in `text` describes unless it is there; the exit status."""
    job = json.loads(text)
    place = job["folder"]
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    lock = os.open(place + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _take(lock)
    if whole(place):
        say("made by another job in the meantime")
        return 0
    try:
        _build_through(job, lock, environment_way.Way(job["stage"], job["indexes"]))
    except Failed as failure:
        os.write(2, ("try: %s\n" % failure.advice).encode("utf-8"))
        return failure.status
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        say("%s: %s" % (error.strerror, error.filename or place))
        os.write(2, ("try: %s\n" % _advice(str(error))).encode("utf-8"))
        return 1
    return 0


def _build_through(job, lock, way):
    """Builds with a way to the index where the node needs one, and begins again when that was lost: never else."""
    may = way.begin()
    while may:
        try:
            return _build(job, lock)
        except Failed as failure:
            shutil.rmtree(job["folder"], ignore_errors=True)
            if not way.broke(failure.tail):
                raise _advised(failure, way)
        say("this node's way to the package index is gone: the connection to your machine broke")
        may = way.again()
    if way.lost > environment_way.MOST:
        say("that was the last try: the way was lost %d times" % way.lost)
    else:
        say("your machine was not reached for %d h" % (environment_way.WITHIN_S / 3600))
    raise Failed(LOST_WAY)


def _advised(failure, way):
    if way.reason:
        say("this node reaches no package index, and there is no way through your machine: " + way.reason)
    elif way.lent and re.search(r"tunnel|connection closed", failure.tail):
        return Failed(NOT_THERE)
    return failure


def say(text):
    """A line of ours among those of uv."""
    os.write(2, ("afield: %s\n" % text).encode("utf-8", "surrogateescape"))


def _take(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting: another job builds this environment")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _build(job, lock):
    began = time.time()
    uv, version = _uv(job["tools"])
    _clear(job["folder"])
    for argv, folder, variables in steps(job, uv):
        _run(argv, folder, variables, lock)
    _finish(job, {"kind": job["kind"], "uv": version, "seconds": round(time.time() - began, 3)})


def _uv(tools):
    for place in uv_places(tools, os.environ.get("PATH", "")):
        try:
            text = subprocess.run(
                [place, "--version"], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ).stdout
        except OSError:
            continue
        if uv_version(text.decode("utf-8", "replace")) >= MINIMUM_UV:
            return place, text.decode("utf-8", "replace").split()[1]
    say("need uv %s" % ".".join(map(str, MINIMUM_UV)))
    raise Failed("install uv on this node, or let afield send its own", NEEDS_UV)


def _clear(place):
    if os.path.lexists(place):
        say("removing what an interrupted build left")
        marker = place + "/" + MARKER
        if os.path.lexists(marker):
            os.unlink(marker)
        shutil.rmtree(place)


def steps(job, uv):
    """The commands of a build, as (argv, folder, extra variables)."""
    place, files, root = job["folder"], job["files"], job["source"]
    pick = ["--python", job["python"]] if job["python"] else []
    home = (
        os.path.join(root, os.path.dirname(files[1 if job["kind"] == "uv.lock" else 0]))
        if files
        else os.path.dirname(place)
    )
    if job["kind"] == "uv.lock":
        apart = [
            word for name in _local_packages(os.path.join(root, files[0])) for word in ("--no-install-package", name)
        ]
        argv = [uv, "sync", "--frozen", "--no-install-project", "--compile-bytecode"] + apart + pick
        return [(argv, home, {"UV_PROJECT_ENVIRONMENT": place})] + _added(job, uv, home)
    found = [([uv, "venv", "--quiet"] + pick + [place], home, {})]
    if job["kind"] == "script":
        frozen = ["--frozen"] if len(files) > 1 else []
        argv = [uv, "sync", "--active", "--compile-bytecode", "--script", os.path.join(root, files[0])] + frozen + pick
        found.append((argv, home, {"VIRTUAL_ENV": place}))
    elif files and job["kind"] != "imports":
        more = ["--"] + job["packages"] if job["packages"] else []
        return found + [(_install(job, uv) + ["-r", os.path.join(root, files[0])] + more, home, {})]
    return found + _added(job, uv, root if job["kind"] == "imports" else home)


def _added(job, uv, folder):
    """The installation of the packages that no file has, where there are any."""
    return [(_install(job, uv) + ["--"] + job["packages"], folder, {})] if job["packages"] else []


def _install(job, uv):
    python = job["folder"] + "/bin/python"
    return [uv, "pip", "install", "--no-editable", "--compile-bytecode", "--python", python]


def _local_packages(lock):
    with open(lock, encoding="utf-8", newline=None) as file:
        return _LOCAL.findall(file.read())


def _run(argv, folder, variables, lock):
    surroundings = {k: v for k, v in os.environ.items() if k not in _MISLEADING}
    surroundings.update(variables, PATH=_path())
    say(" ".join(["uv"] + argv[1:]))
    try:
        child = subprocess.Popen(
            argv, cwd=folder, env=surroundings, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(lock,)
        )
    except OSError as error:
        say("%s: %s" % (error.filename, error.strerror))
        raise Failed("look at the node: its uv cannot be started")
    tail = _relay(child.stderr)
    if child.wait():
        raise Failed(_advice(tail), tail=tail)


def _path():
    """PATH, and after it the Pythons that pyenv keeps: its own stand-ins hide all but the active ones from uv."""
    versions = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")
    try:
        kept = sorted(name for name in os.listdir(versions) if re.match(r"3\.(?:[89]|\d\d)\.", name))
    except OSError:
        kept = []
    return ":".join([os.environ.get("PATH", os.defpath)] + [os.path.join(versions, name, "bin") for name in kept])


def _relay(pipe):
    tail = b""
    while True:
        data = os.read(pipe.fileno(), 65536)
        if not data:
            return tail.decode("utf-8", "replace")
        os.write(2, data)
        tail = (tail + data)[-TAIL:]


def _advice(tail):
    for pattern, advice in ADVICE:
        if re.search(pattern, tail):
            return advice
    return "the same command by hand, on this node: uv's own words are above"


def _finish(job, record):
    place = job["folder"]
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
        with open(place + "/" + MARKER + ".new", "w") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        with around("environment.marker"):
            os.rename(place + "/" + MARKER + ".new", place + "/" + MARKER)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor):
    # uv does not sync what it writes; a marker that outlives the files would hand out a broken environment.
    try:
        import ctypes  # some builds of Python come without it
    except ImportError:
        os.sync()
        return
    ctypes.CDLL(None).syncfs(descriptor)
