"""What a program of an attempt is run with: its words, variables and folders. Pure but for the looks it yields."""

from . import folder
from .effects import Environment, List, Mkdir, Port

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED = ("LANG", "TMPDIR")
UNOPENED = {"code": None, "signal": None, "by": "gate", "after_signal": False}
GPUS = "/proc/driver/nvidia/gpus"


def base(me, path):
    """The variables of everything that we run: the account's and the login shell's PATH, nothing of any caller's."""
    found = {"PATH": path or PATH, "HOME": me["home"], "USER": me["user"], "LOGNAME": me["user"], "SHELL": me["shell"]}
    found.update({name: me["environ"][name] for name in PASSED if name in me["environ"]})
    found["PYTHONUNBUFFERED"] = "1"
    return found


class Kitchen:
    """What all programs of one case have in common; `prepare` makes the folders and looks around once."""

    def __init__(self, case, path):
        self.case = case
        self.common = base(case.me, path)
        self.environment = {}
        self._places = {}
        self._gpus = False

    def prepare(self):
        """Makes the attempt's folders. Raises OSError."""
        paths, job = self.case.paths, self.case.paths.job(self.case.attempt)
        self._places = {
            "JOB_DIR": job,
            "SRC_DIR": job + "/src",
            "KEEP_DIR": job + "/keep",
            "OUTPUT_DIR": job + "/outputs",
            "USER_DIR": paths.here("home", plain(str(self.case.spec.get("user") or self.case.me["user"]))),
            "SHARED_DIR": paths.here("shared"),
        }
        for place in self._places.values():
            yield Mkdir(place, False)
        self._places["RESULT_FILE"] = job + "/outputs/result"
        self._gpus = bool((yield List(GPUS)))

    def look(self):
        """Learns how the environment is used; once before it is built and again after."""
        self.environment = yield Environment(self.case.paths, self.case.spec)
        return self.environment

    @property
    def cwd(self):
        """Where programs start."""
        inside = (self.case.spec.get("code") or {}).get("cwd") or ""
        return self._places["SRC_DIR"] + ("/" + inside if inside and inside != "." else "")

    def building(self, extra):
        """The variables of a build: nothing of the job's own and no secrets, since packages run what they like."""
        return self._laid({}, dict(self._visible(self._devices()), **extra))

    def shared(self, extra, own=None):
        """The variables of a stage: all devices of the attempt on this node, nothing of one process or of a gang.

        `own` are the job's, which give way to `extra`.
        """
        return self._laid(dict(own or {}, **self.case.secrets), dict(self._visible(self._devices()), **extra))

    def _devices(self):
        return [str(d) for process in self.case.spec["processes"] for d in process.get("devices") or ()]

    def variables(self, process, gang):
        """The variables of one process; `gang` are those that all members got together."""
        fixed = dict(gang, **self._visible([str(device) for device in process.get("devices") or ()]))
        return self._laid(dict(process.get("variables") or {}, **self.case.secrets), fixed)

    def _visible(self, devices):
        return {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices or self._gpus else {}

    def _laid(self, own, fixed):
        """Ours, under the user's own, under what is not theirs to choose."""
        live = dict(self.environment.get("variables") or {})
        front = live.pop("PATH_PREPEND", "")
        found = dict(self.common, **live)
        found.update(own)
        if front:
            found["PATH"] = front + ":" + found["PATH"]
        if own.get("PYTHONPATH") and live.get("PYTHONPATH"):
            found["PYTHONPATH"] = own["PYTHONPATH"] + ":" + live["PYTHONPATH"]
        found.update(fixed)
        found.update(self._places)
        found["AFIELD_MARK"] = self.case.mark
        return {name: str(value) for name, value in found.items()}

    def argv(self, process):
        """The words of one process; a `.py` file gets the interpreter in front."""
        words = [str(word) for word in process["argv"]]
        return [self.environment.get("python") or "python3"] + words if process.get("python") else words


def meeting(spec):
    """MASTER_ADDR and MASTER_PORT for an attempt on this node alone; nothing for a gang, which learns them by `go`."""
    if spec.get("gang"):
        return {}
    port = yield Port()
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def unopened(case, place):
    """(path, data) of the exit record of a program whose gate closed before it ran."""
    return case.run + "/" + place + "/" + folder.EXIT, folder.dump(dict(UNOPENED, nonce=case.nonce))


def plain(name):
    """A user's name as that of a folder."""
    return "".join(c if c.isalnum() or c in "._@-" else "_" for c in name).lstrip(".") or "_"
