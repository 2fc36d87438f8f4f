"""Jupyter and TensorBoard as jobs on a real host, from the package index: their page here, their end on both sides."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from afield.testing.hosts import Host, Hosts
from afield.testing.processes import command_line, running
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until

URL = re.compile(rb"(?:jupyter|tensorboard): (http://127\.0\.0\.1:(\d+)/\S*)\n")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips the test where no package index can be reached."""
    wanted = tmp_path_factory.mktemp("index") / "wanted.in"
    wanted.write_text("jupyterlab\nnbclient\nipykernel\ntensorboard\n")
    done = subprocess.run([find_uv_bin(), "pip", "compile", "-q", wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no package index has Jupyter for us: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def sandbox(hosts: Hosts) -> Iterator[Sandbox]:
    """One afield for all of these tests: their environments are built once."""
    with Sandbox(ssh_config=hosts.ssh_config) as made:
        yield made


@pytest.fixture(scope="module")
def host(index: None, hosts: Hosts, sandbox: Sandbox) -> Host:
    """The first host, added as a node; its uv trusts what this system trusts."""
    settings = hosts[0].home / ".config" / "uv"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "uv.toml").write_text("system-certs = true\n")
    for path in (settings.parent, settings, settings / "uv.toml"):
        shutil.chown(path, hosts[0].user.pw_uid, hosts[0].user.pw_gid)
    done = sandbox.afield("node", "add", hosts[0].name)
    assert done.returncode == 0, done.stderr
    return hosts[0]


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook whose kernel has a name that no node knows."""
    path.write_text(
        json.dumps(
            {
                "nbformat": 4,
                "nbformat_minor": 5,
                "metadata": {"kernelspec": {"name": "my-own", "language": "python", "display_name": "Mine"}},
                "cells": [
                    {
                        "cell_type": "code",
                        "id": f"c{number}",
                        "metadata": {},
                        "source": text,
                        "outputs": [],
                        "execution_count": None,
                    }
                    for number, text in enumerate(cells)
                ],
            }
        )
    )


class Page:
    """A running command that showed an address."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self.base = url.partition("/lab")[0].rstrip("/")
        self.token = url.partition("token=")[2]
        self.port = int(self.base.rpartition(":")[2])

    def next_address(self) -> Page:
        """The page at the address that the command shows next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = URL.fullmatch(line)
        assert found, line
        return Page(self.process, found[1].decode())

    def asked(self, path: str, *, token: str | None = None, put: bytes | None = None) -> int:
        """The status with which the page answers; 0 when nobody does."""
        request = urllib.request.Request(f"{self.base}/{path}", data=put, method="PUT" if put else "GET")
        if token is not None:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@contextmanager
def shown(sandbox: Sandbox, *words: str) -> Iterator[Page]:
    """A command that holds a page, once it has shown the address; ended with the block."""
    with sandbox.start(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            found = URL.fullmatch(line)
            assert found, (line, process.stderr.read().decode() if not line else "")
            yield Page(process, found[1].decode())
        finally:
            process.kill()


def newest(sandbox: Sandbox) -> dict[str, Any]:
    """The newest job."""
    found: dict[str, Any] = json.loads(sandbox.afield("show", "@last", "--json").stdout)["job"]
    return found


def executed(sandbox: Sandbox, name: str) -> list[dict[str, Any]]:
    """The cells of a notebook that came back with the newest job."""
    book = json.loads((sandbox.project / "outputs" / str(newest(sandbox)["number"]) / name).read_text())
    return list(book["cells"])


def left(host: Host, word: str) -> list[list[str]]:
    """The command lines on a host with a word in them."""
    found = [command_line(process) for process in host.processes()]
    return [words for words in found if any(word in part for part in words)]


def open_ports(host: Host) -> list[str]:
    """The ports at which a host's processes listen, its sshd aside."""
    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    pids = [f"pid={process.pid}," for process in host.processes() if "sshd" not in process.name]
    return [line for line in shown if any(pid in line for pid in pids)]


def test_the_address_answers_wants_its_token_and_dies_on_both_sides(sandbox: Sandbox, host: Host) -> None:
    write_notebook(sandbox.project / "explore.ipynb", "1 + 1")
    with shown(sandbox, "notebook", "-n", host.name, "explore.ipynb") as page:
        assert page.url.startswith(f"http://127.0.0.1:{page.port}/lab/tree/explore.ipynb?token=")
        assert page.asked("api/contents") == 403
        assert page.asked("api/contents", token="x" * len(page.token)) == 403
        assert page.asked("api/contents", token=page.token) == 200
        row = newest(sandbox)
        assert (row["name"], row["phase"], row["nodes"]) == ("notebook", "running", [host.name])
        everything = [part for process in running() for part in command_line(process)]
        assert not any(page.token in part for part in everything), "the token is in no command line"
        place = Path(json.loads(sandbox.afield("cat", f"{row['number']}:offer.json").stdout)["place"])
        assert [path.stat().st_mode & 0o777 for path in (place, place.parent)] == [0o600, 0o700]
        changed = (sandbox.project / "explore.ipynb").read_bytes().replace(b"1 + 1", b"2 + 2")
        body = json.dumps({"type": "notebook", "content": json.loads(changed)}).encode()
        assert page.asked("api/contents/explore.ipynb", token=page.token, put=body) == 200
        page.process.send_signal(signal.SIGINT)
        out, err = page.process.communicate(timeout=60)
        assert (page.process.returncode, out) == (0, b""), err
        assert page.asked("api") == 0
    wait_until(lambda: not left(host, "afield_serve"))
    job = row["number"]
    assert f"outputs/{job}/" in err.decode()
    brought = sandbox.project / "outputs" / str(job)
    assert "2 + 2" in (brought / "explore.ipynb").read_text()
    assert [p.name for p in brought.rglob("*")] == ["explore.ipynb"], "Jupyter's own copies stay there"
    assert "1 + 1" in (sandbox.project / "explore.ipynb").read_text(), "nothing of the user's is overwritten"
    assert json.loads(sandbox.afield("show", str(job), "--json").stdout)["job"]["outcome"] == "stopped"


def test_one_that_is_given_up_before_it_has_a_page_leaves_nothing(sandbox: Sandbox, host: Host) -> None:
    with sandbox.start("notebook", "-n", host.name, "--preflight", "sleep 98765") as command:
        try:
            wait_until(lambda: left(host, "98765"), within_s=300, show=sandbox.story)
        finally:
            command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    row = newest(sandbox)
    assert (command.returncode, out, row["outcome"]) == (130, b"", "stopped"), err
    assert f"job {row['number']} is stopped, and nothing of it runs on" in err.decode().splitlines()[-1]
    assert left(host, "98765") == left(host, "afield_serve") == []


def test_a_second_one_picks_other_ports_and_a_detached_one_is_come_back_to(sandbox: Sandbox, host: Host) -> None:
    with shown(sandbox, "notebook", "-n", "local") as first:
        job = sandbox.afield("notebook", "-n", host.name, "--detach").stdout.decode().strip()
        wait_until(lambda: sandbox.afield("cat", f"{job}:offer.json").returncode == 0, within_s=60, every_s=0.5)
        with shown(sandbox, "forward", job) as second:
            assert second.port != first.port
            assert second.token != first.token
            wait_until(lambda: second.asked("api/contents", token=second.token) == 200)
            assert second.asked("api/contents", token=first.token) == 403
            second.process.send_signal(signal.SIGINT)
            assert second.process.wait(20) == 0
        assert json.loads(sandbox.afield("show", job, "--json").stdout)["job"]["phase"] == "running"
        with shown(sandbox, "forward", job) as again:
            assert again.token == second.token
            assert again.asked("api/contents", token=again.token) == 200
        sandbox.afield("stop", job)
        assert first.asked("api/contents", token=first.token) == 200
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(60) == 0


@pytest.mark.timeout(400)
def test_the_address_follows_to_the_next_attempt(sandbox: Sandbox, host: Host) -> None:
    with shown(sandbox, "notebook", "-n", host.name, "--policy", "rerun", "-L", "0") as page:
        job = str(newest(sandbox)["number"])
        with shown(sandbox, "forward", job) as other:
            host.reboot()
            again = [one.next_address() for one in (page, other)]
            assert [one.port for one in again] == [page.port, other.port], "the ports here stay"
            token = again[0].token
            assert (again[1].token, token != page.token) == (token, True)
            for one in again:
                wait_until(lambda one=one: one.asked("api/contents", token=token) == 200)  # type: ignore[misc]
                assert one.asked("api/contents", token=page.token) == 403
            attempts = newest(sandbox)["attempts"]
            assert [(a["outcome"], a["nodes"]) for a in attempts] == [("lost", [host.name]), (None, [host.name])]
        page.process.send_signal(signal.SIGINT)
        _, err = page.process.communicate(timeout=60)
        assert page.process.returncode == 0, err
        assert b"attempt 2 of the job is on" in err
        assert b"tries again at" in err
    wait_until(lambda: not left(host, "afield_serve"))


def test_a_notebook_runs_without_a_page_and_comes_back_with_results(sandbox: Sandbox, host: Host) -> None:
    (sandbox.project / "helper.py").write_text("WORD = 'from the project'\n")
    write_notebook(
        sandbox.project / "study.ipynb",
        "import helper, sys\nprint(helper.WORD)\nprint('aside', file=sys.stderr)",
        "6 * 7",
    )
    done = sandbox.afield("run", "-n", host.name, "study.ipynb", within_s=120)
    assert (done.returncode, done.stdout) == (0, b"from the project\n42\n"), done.stderr
    assert b"[1/2] import helper, sys\n" in done.stderr
    assert b"aside\n" in done.stderr
    assert executed(sandbox, "study.ipynb")[1]["outputs"][0]["data"]["text/plain"] == ["42"]

    write_notebook(sandbox.project / "study.ipynb", "print('before')", "{}['lost']", "print('never')")
    done = sandbox.afield("run", "-n", host.name, "study.ipynb", within_s=120)
    assert (done.returncode, done.stdout) == (1, b"before\n")
    assert b"afield: cell 2 failed: KeyError: 'lost'\n" in done.stderr
    cells = executed(sandbox, "study.ipynb")
    assert [bool(cell["outputs"]) for cell in cells] == [True, True, False]
    assert cells[1]["outputs"][0]["ename"] == "KeyError"


def test_tensorboard_shows_the_logs_where_they_are(sandbox: Sandbox, host: Host) -> None:
    done = sandbox.afield(
        "run", "-n", host.name, "--", "sh", "-c", 'mkdir "$OUTPUT_DIR/tb" && echo x >"$OUTPUT_DIR/tb/f"'
    )
    assert done.returncode == 0, done.stderr
    job = str(newest(sandbox)["number"])
    with shown(sandbox, "tensorboard", job, "-L", "0") as page:
        with urllib.request.urlopen(f"{page.base}/data/environment", timeout=20) as answer:
            place = json.load(answer)["data_location"]
        assert place == json.loads(sandbox.afield("ls", f"{job}:outputs", "--json").stdout)["places"][0]["path"]
        rows = json.loads(sandbox.afield("ps", "--json").stdout)["jobs"]
        assert [row["nodes"] for row in rows if row["name"] == "tensorboard"] == [[host.name]]
        number = next(row["number"] for row in rows if row["name"] == "tensorboard")
        socket = Path(json.loads(sandbox.afield("cat", f"{number}:offer.json").stdout)["place"])
        assert [path.stat().st_mode & 0o777 for path in (socket, socket.parent)] == [0o600, 0o700]
        assert not open_ports(host), "others on the node reach nothing of it"
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(60) == 0
    wait_until(lambda: not left(host, "afield_serve"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("notebook", "nowhere.ipynb"), 2, "there is no nowhere.ipynb here"),
        (("notebook", "/etc"), 2, "/etc is outside of this folder"),
        (("notebook", "-L", "x"), 2, "'x' is no port"),
        (("run", "nowhere.ipynb"), 2, "there is no file nowhere.ipynb here"),
        (("run", "study.ipynb", "--lr", "3"), 2, "a notebook takes no words: --lr"),
        (("tensorboard", "nowhere"), 2, "there is no folder nowhere here"),
        (("tensorboard", "99"), 3, "there is no job 99"),
        (("tensorboard", ".", "-L", "a:b"), 2, "'a:b' is no port"),
    ],
)
def test_what_has_no_page_is_said_before_anything_is_submitted(
    words: tuple[str, ...], status: int, said: str, sandbox: Sandbox
) -> None:
    before = sandbox.afield("ps", "--all", "--json").stdout
    done = sandbox.afield(*words)
    assert (done.returncode, said in done.stderr.decode()) == (status, True), done.stderr
    assert sandbox.afield("ps", "--all", "--json").stdout == before
