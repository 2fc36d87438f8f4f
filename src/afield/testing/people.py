"""Throw-away system users, so that every test host has an account of its own. Needs root.

Each user's comment names the process that made it (number and start ticks): users whose maker is gone, because it was
killed before it could tidy up, are removed by the next one that makes users.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from afield.errors import AfieldError
from afield.testing.processes import end_all, identity, lives

COMMENT = "afield test host of"


def make(name: str, home: Path, shell: str) -> pwd.struct_passwd:
    """A new user with that home folder and no password. Raises AfieldError where the machine refuses."""
    # "*" as the password: nobody can log in with one, and sshd does not take the account for a locked one.
    _run("useradd", "--no-create-home", "--home-dir", str(home), "--shell", shell, "--password", "*", "--comment",
         f"{COMMENT} {identity(os.getpid())}", name)  # fmt: skip
    return pwd.getpwnam(name)


def remove(user: pwd.struct_passwd) -> None:
    """Ends what the user still runs, then removes the user and the folders that afield keeps by account number."""
    end_all(lambda process: process.uid == user.pw_uid)
    for folder in (Path("/var/tmp"), Path("/tmp")):
        shutil.rmtree(folder / f"afield-{user.pw_uid}", ignore_errors=True)
    _run("userdel", user.pw_name)


def sweep() -> list[str]:
    """Removes the users that killed processes left behind, and ends what they run; returns their names."""
    ours = [user for user in pwd.getpwall() if user.pw_gecos.startswith(COMMENT)]
    left = [user for user in ours if not lives(user.pw_gecos.removeprefix(COMMENT).strip(" ,"))]
    for user in left:
        remove(user)
    return [user.pw_name for user in left]


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise AfieldError(f"{words[0]} was not found", hints=["use Hosts(users=False)"]) from None
    if done.returncode:
        raise AfieldError(
            f"{words[0]} failed for {words[-1]}", why=done.stderr.strip(), hints=["use Hosts(users=False)"]
        )
