"""The PATH that this account's login shell makes (modules, CUDA), asked once a day per node and store."""

import json
from signal import SIGKILL, SIGTERM

from . import folder, killtree, program
from .effects import Now, Open, Processes, Program, Put, Read, Reap, Signal, Sleep, Unlink, Wait

TIMEOUT_S = 5.0
GRACE_S = 0.5  # for rc files to give back what they hold: a lock that is left there hangs all later logins
FRESH_S = 24 * 3600.0
RETRY_S = 3600.0
NO_LOGIN_FLAG = ("csh", "tcsh")


def path(case):
    """The login shell's PATH; a usual one when that shell fails or takes longer than 5 s (a hanging rc file)."""
    known = (yield from folder.load(case.paths.login)) or {}
    wall, _, _ = yield Now()
    age = wall - known.get("at", 0) if isinstance(known.get("at"), (int, float)) else -1
    if 0 <= age < (FRESH_S if known.get("path") else RETRY_S):
        return known.get("path") or _usual(case)
    found = yield from _ask(case)
    yield Put(case.paths.login, json.dumps({"path": found, "at": wall}).encode("ascii"))
    return found or _usual(case)


def _usual(case):
    return case.me["environ"].get("PATH") or program.PATH


def _ask(case):
    out = case.run + "/login.out"
    shell = case.me["shell"]
    flags = ["-c"] if shell.rpartition("/")[2] in NO_LOGIN_FLAG else ["-l", "-c"]
    env = dict(program.base(case.me, _usual(case)), AFIELD_MARK=case.mark)
    asked = yield Program([shell] + flags + ["env"], env, case.me["home"], out, "/dev/null", label="shepherd.login")
    yield Open(asked["gate"], label="shepherd.login")
    code = yield from _wait(asked["pid"])
    if code is None:
        yield from _signal(case, asked, SIGTERM)
        yield Sleep(GRACE_S)
        yield from _signal(case, asked, SIGKILL)
    text = (yield Read(out)) or b""
    yield Unlink(out)
    return _last_path(text) if code == 0 else ""


def _wait(pid):
    _, mono, _ = yield Now()
    until = mono + TIMEOUT_S
    while mono < until:
        for happening in (yield Wait(until)):
            if happening[0] == "exit":
                yield Reap(happening[1])
                if happening[1] == pid:
                    return happening[2] if happening[2] is not None else -1
        _, mono, _ = yield Now()
    return None


def _signal(case, asked, signum):
    table = yield Processes()
    for row in killtree.members(table, case.me["pid"], {(asked["pid"], asked["start"])}, case.mark):
        yield Signal(row.pid, row.start, signum)


def _last_path(text):
    """The value of the last line PATH=...: rc files may have printed anything before it."""
    lines = [line for line in text.decode("utf-8", "surrogateescape").split("\n") if line.startswith("PATH=")]
    return lines[-1][len("PATH=") :].strip() if lines else ""
