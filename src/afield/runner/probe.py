"""What this node has and how it is: facts for placement and for people. Runs in a clerk of the link."""

import os
import time

from . import devices, environment
from .mounts import listed, network_filesystem

PATIENCE_S = 20
REACH_S = 2.0


def probe(paths, hosts=()):
    """All facts of the node. Numbers are bytes, `time` is UTC seconds, `devices_error` says what hides devices.

    With `hosts`, (name, port) pairs of package indexes, `internet` says whether one of them answers.
    """
    asking = Asking(hosts) if hosts else None
    memory = meminfo(_text("/proc/meminfo"))
    limit = _cgroup_limit("memory.max")
    total = min(memory.get("MemTotal", 0), limit) if limit else memory.get("MemTotal", 0)
    disk = os.statvfs(paths.root)
    found, trouble = gpus(paths.store)
    mounts = listed()
    root_fs, run_fs = (network_filesystem(path, mounts) or "" for path in (paths.root, paths.runroot))
    known = {
        "cpu": cpus(),
        "memory_bytes": total,
        "memory_free_bytes": min(memory.get("MemAvailable", 0), total),
        "disk_bytes": disk.f_blocks * disk.f_frsize,
        "disk_free_bytes": disk.f_bavail * disk.f_frsize,
        "root_fs": root_fs,
        "run_fs": run_fs,
        "load": os.getloadavg()[0],
        "devices": found,
        "devices_error": trouble,
        "uv": uv_version(paths),
        "arch": os.uname().machine,
        "system": os.uname().sysname,
        "python_versions": python_versions(os.environ.get("PATH", "")),
        "os": os_name(_text("/etc/os-release")),
        "time": time.time(),
        "linger": os.path.exists("/var/lib/systemd/linger/" + user_name(os.getuid())),
    }
    if asking is not None:
        known["internet"] = asking.answer()
    return known


class Asking:
    """Looks for a package index while other facts are gathered. A resolver that hangs is left behind."""

    def __init__(self, hosts):
        import threading

        self._found = []
        self._hosts = hosts
        self._until = time.monotonic() + REACH_S
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self):
        self._found.append(any(environment.reached(host, int(port), REACH_S) for host, port in self._hosts))

    def answer(self):
        """ "yes", "no", or "own" where the account has a proxy or an index of its own, which builds use instead."""
        if environment.own_index():
            return "own"
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return "yes" if self._found == [True] else "no"


def meminfo(text):
    """Name to bytes from /proc/meminfo."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB" and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found


def cpus():
    """How many processors we may use: those the kernel lets us run on, less what a control group takes away."""
    count = float(len(os.sched_getaffinity(0)))
    quota, _, period = _cgroup("cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        count = min(count, int(quota) / int(period))
    return count


def os_name(text):
    """The system's name for people from /etc/os-release."""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return os.uname().sysname


def python_versions(path):
    """Versions of Python that this search path offers, as "3.N", oldest first."""
    found = set()
    for folder in path.split(":"):
        for minor in range(8, 20):
            if folder and os.access("%s/python3.%d" % (folder, minor), os.X_OK):
                found.add(minor)
    return ["3.%d" % minor for minor in sorted(found)]


# A build runs under the login shell's PATH, of which the link knows nothing: what is only there is not counted on.
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def uv_version(paths):
    """The version of the uv that builds would use, the node's own or one that was sent; "" when there is none."""
    for place in environment.uv_places(paths.root + "/bin", SYSTEM_PATH):
        words = run([place, "--version"])[0].split()
        if len(words) > 1 and words[0] == "uv":
            return words[1]
    return ""


def gpus(store):
    """(devices, trouble) as nvidia-smi tells; ([], "") where there is none."""
    query = ["nvidia-smi", "--format=csv,noheader,nounits"]
    out, found = run(query + ["--query-gpu=" + devices.GPU_FIELDS + devices.MIG_FIELD])
    if not found:
        return [], ""
    if "not a valid field" in out:
        out, _ = run(query + ["--query-gpu=" + devices.GPU_FIELDS])
    apps, _ = run(query + ["--query-compute-apps=" + devices.APP_FIELDS])
    listing = run(["nvidia-smi", "-L"])[0] if "Enabled" in out else ""
    return devices.parse(out, apps, listing, lambda pid: stranger(pid, store))


def stranger(pid, store):
    """The user of a process that is none of this store's jobs; "" for one that is."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            if ("\0AFIELD_MARK=%s." % store).encode() in b"\0" + file.read():
                return ""
    except OSError:
        # Somebody else's process, or gone, or outside our container: a stranger's in any case.
        pass
    try:
        return user_name(os.stat("/proc/%d" % pid).st_uid)
    except OSError:
        return "?"


def user_name(uid):
    """The account's name, or its number where no directory knows it."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def run(argv):
    """(output, whether the program exists). A program that hangs, as on a broken driver, is left behind with a note."""
    import subprocess

    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except (FileNotFoundError, PermissionError):
        return "", False
    try:
        return process.communicate(timeout=PATIENCE_S)[0].decode("utf-8", "replace"), True
    except subprocess.TimeoutExpired:
        process.kill()
        return "%s gave no answer in %d s" % (argv[0], PATIENCE_S), True


def _cgroup_limit(name):
    text = _cgroup(name)
    return int(text) if text.isdigit() else 0


def _cgroup(name):
    for line in _text("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            return _text("/sys/fs/cgroup" + line[3:].rstrip("/") + "/" + name).strip()
    return ""


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
