"""A folder of a node that is kept as one is here: what arrives, what goes, what stays, and what a cut does to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until


@pytest.fixture
def host(hosts: Hosts, sandbox: Sandbox) -> Iterator[Host]:
    chosen = hosts[0]
    assert sandbox.afield("node", "add", chosen.name).returncode == 0
    (sandbox.project / ".afieldignore").write_text("*.tmp\n")
    (sandbox.project / "deep/er").mkdir(parents=True)
    for name in ("a.py", "b c.py", "deep/er/c.py", "left.tmp"):
        (sandbox.project / name).write_text(name)
    yield chosen
    chosen.start()


def there(folder: Path) -> dict[str, str]:
    """The files below a folder of the host with their contents."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


OURS = {".afieldignore": "*.tmp\n", "a.py": "a.py", "b c.py": "b c.py", "deep/er/c.py": "deep/er/c.py"}


def test_only_what_a_mirror_brought_goes_away(sandbox: Sandbox, host: Host) -> None:
    place = host.home / "work/proj"
    place.mkdir(parents=True)
    os.chown(host.home / "work", host.user.pw_uid, host.user.pw_gid)
    os.chown(place, host.user.pw_uid, host.user.pw_gid)
    (place / "of the program").write_text("stays")
    done = sandbox.afield("sync", f"{host.name}:~/work/proj")
    assert done.returncode == 0, done.stderr
    assert there(place) == OURS | {"of the program": "stays"}
    (sandbox.project / "a.py").write_text("changed")
    (sandbox.project / "deep/er/c.py").unlink()
    again = sandbox.afield("sync", ".", f"{host.name}:~/work/proj")
    assert b"1 file, 7B, 1 removed" in again.stderr, again.stderr
    assert there(place) == {k: v for k, v in OURS.items() if "deep" not in k} | {
        "a.py": "changed",
        "of the program": "stays",
    }
    assert not (place / "deep").exists(), "folders that become empty go too"
    (sandbox.project / "deep/er").rmdir()
    (sandbox.project / "deep").rmdir()
    (sandbox.project / "deep").write_text("a file where a folder was")
    assert sandbox.afield("sync", f"{host.name}:~/work/proj").returncode == 0
    assert (place / "deep").read_text() == "a file where a folder was"


def test_a_mode_alone_is_carried(sandbox: Sandbox, host: Host) -> None:
    file, copy = sandbox.project / "a.py", host.home / "modes/a.py"
    file.chmod(0o644)
    with sandbox.start("sync", f"{host.name}:~/modes", "--watch") as command:
        try:
            wait_until(copy.exists, show=sandbox.story)
            before = copy.stat()
            assert before.st_mode & 0o777 == 0o644
            file.chmod(0o755)
            wait_until(lambda: b"sync mode of 1 file" in _line(command), within_s=40, show=sandbox.story)
            assert copy.stat().st_mode & 0o777 == 0o755
        finally:
            command.send_signal(signal.SIGINT)
        command.communicate(timeout=30)
    after = copy.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "it was not sent again"
    file.chmod(0o640)
    again = sandbox.afield("sync", f"{host.name}:~/modes")
    assert "sync mode of 1 file →" in again.stderr.decode(), again.stderr
    assert copy.stat().st_mode & 0o777 == 0o640
    assert "sync nothing new →" in sandbox.afield("sync", f"{host.name}:~/modes").stderr.decode()


@pytest.mark.parametrize("place", ["~", "/", "~/", "~/.", ""])
def test_a_home_folder_is_refused(sandbox: Sandbox, host: Host, place: str) -> None:
    before = set(os.listdir(host.home))
    done = sandbox.afield("sync", f"{host.name}:{place}")
    assert done.returncode == 2, done.stderr
    assert set(os.listdir(host.home)) == before


def test_the_folder_above_a_home_is_refused(sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield("sync", f"{host.name}:{host.home.parent}")
    assert (done.returncode, b"a home folder, or holds one" in done.stderr) == (2, True)


def test_a_folder_in_itself_is_refused(sandbox: Sandbox) -> None:
    for place in (f"{sandbox.project}/copy", str(sandbox.project.parent / "project")):
        done = sandbox.afield("sync", f"local:{place}")
        assert (done.returncode, b"lie in each other" in done.stderr) == (2, True), done.stderr


def test_changes_arrive_also_after_a_cut_until_it_is_ended(sandbox: Sandbox, host: Host) -> None:
    where = sandbox.afield("exec", "-n", host.name, "--", "mkdir", "-p", "live")
    assert where.returncode == 0
    place = host.home / "live"

    def is_there(expected: dict[str, str]) -> None:
        wait_until(lambda: there(place) == expected, within_s=40, show=lambda: (there(place), sandbox.story()))

    with sandbox.start("sync", f"{host.name}:~/live", "--watch") as command:
        try:
            is_there(OURS)
            (sandbox.project / "a.py").write_text("second")
            (sandbox.project / "b c.py").unlink()
            now = {**OURS, "a.py": "second"}
            del now["b c.py"]
            is_there(now)
            host.cut()
            (sandbox.project / "new.py").write_text("new")
            is_there(now | {"new.py": "new"})
            host.stop()
            (sandbox.project / "new.py").unlink()
            (sandbox.project / "later.py").write_text("later")
            wait_until(lambda: b"trying again" in _line(command), show=sandbox.story)
            host.start()
            is_there(now | {"later.py": "later"})
        finally:
            command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=30)
    assert command.returncode == 0, err
    assert b"the mirror has ended" in err
    assert b"Traceback" not in err


def _line(command: object) -> bytes:
    """The next line of what a command says."""
    stream = getattr(command, "stderr", None)
    assert stream is not None
    line = stream.readline()
    assert isinstance(line, bytes)
    return line
